// Vectors of a leaf directory through transformers.js, one JSON object on standard output.
//   node embed.mjs FOLDER_WITH_NODE_MODULES LEAF_DIRECTORY '["a text", ...]'
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const [folder, leaf, texts] = process.argv.slice(2);
const require = createRequire(resolve(folder) + '/');
const { AutoModel, AutoTokenizer, env, pipeline } = require('@huggingface/transformers');
env.allowRemoteModels = false;
const options = { dtype: 'fp32', local_files_only: true };
const input = JSON.parse(texts);
const found = {};

const extract = await pipeline('feature-extraction', leaf, options);
found.default = (await extract(input)).tolist();
for (const pooling of ['mean', 'cls', 'last_token'])
  found[pooling] = (await extract(input, { pooling, normalize: true })).tolist();

const tokenizer = await AutoTokenizer.from_pretrained(leaf, options);
const model = await AutoModel.from_pretrained(leaf, options);
const output = await model(await tokenizer(input, { padding: true, truncation: true }));
found.sentence_embedding = output.sentence_embedding.tolist();

const small = await AutoModel.from_pretrained(leaf, { ...options, dtype: 'q8' });
found.q8 = (await small(await tokenizer(input, { padding: true, truncation: true }))).sentence_embedding.tolist();

console.log(JSON.stringify(found));
