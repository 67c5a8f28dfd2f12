/** What the page shows of an OpenAPI document; it has nothing that is loaded from elsewhere, so it works offline. */
interface Shown {
  info: { title: string; description: string };
  paths: Record<string, { post: ShownOperation }>;
}

interface ShownOperation {
  operationId: string;
  summary: string;
  requestBody: { content: Record<string, { schema: ShownSchema }> };
}

interface ShownSchema {
  properties: Record<string, Record<string, unknown>>;
  required?: string[];
}

const STYLE =
  'body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}' +
  'code{background:#8882;padding:.1em .3em;border-radius:3px}table{border-collapse:collapse;width:100%}' +
  'td,th{border-bottom:1px solid #8884;padding:.3em .6em;text-align:left;vertical-align:top}' +
  'summary{cursor:pointer;padding:.4em 0}';

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function limitOf(schema: Record<string, unknown>): string {
  if (schema['maxLength'] !== undefined) return `at most ${String(schema['maxLength'])} characters`;
  if (schema['type'] === 'integer') return 'an integer from 0';
  return schema['type'] === 'object' ? `userData[KEY]=VALUE, at most ${String(schema['maxProperties'])}` : '';
}

function section(path: string, { operationId, summary, requestBody }: ShownOperation): string {
  const types = Object.keys(requestBody.content);
  const { properties, required = [] } = Object.values(requestBody.content)[0]?.schema ?? { properties: {} };
  const rows = Object.entries(properties).map(
    ([name, schema]) =>
      `<tr><td><code>${escape(name)}</code></td><td>${required.includes(name) ? 'required' : ''}</td>` +
      `<td>${escape(limitOf(schema))}</td><td>${escape(String(schema['description'] ?? ''))}</td></tr>`,
  );
  return (
    `<details id="${escape(operationId)}"><summary><code>POST ${escape(path)}</code> ${escape(summary)}</summary>` +
    `<p>${types.map((type) => `<code>${escape(type)}</code>`).join(' or ')}</p>` +
    `<table><tr><th>field</th><th>need</th><th>limit</th><th>meaning</th></tr>${rows.join('')}</table></details>`
  );
}

/** The document for people. */
export function openApiPage(document: Record<string, unknown>): string {
  const { info, paths } = document as unknown as Shown;
  const sections = Object.entries(paths).map(([path, { post }]) => section(path, post));
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(info.title)}</title>` +
    `<meta name="viewport" content="width=device-width"><style>${STYLE}</style></head><body>` +
    `<h1>${escape(info.title)}</h1><p>${escape(info.description)} The whole document: ` +
    `<a href="/openapi.json">openapi.json</a>.</p>${sections.join('')}</body></html>\n`
  );
}
