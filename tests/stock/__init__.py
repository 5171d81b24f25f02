"""The stock projects' own tests on our stores: ``make test-stock`` downloads them, nothing of them lies here."""
