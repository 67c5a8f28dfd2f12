import Ajv, { _, type ValidateFunction } from 'ajv';
import { z } from 'zod';

/** What a schema is to who only reads with it. */
export interface JsonReader<T> {
  safeParse(raw: unknown): z.ZodSafeParseResult<T>;
}

type Override = NonNullable<z.core.ToJSONSchemaParams['override']>;

const MOST_UNITS = 'mostUnits';
const FEWEST_UNITS = 'fewestUnits';

// Patterns without the flag u, as they stand in the schemas.
const ajv = new Ajv({ strict: false, strictNumbers: true, validateSchema: false, unicodeRegExp: false });
ajv.addKeyword({
  keyword: MOST_UNITS,
  type: 'string',
  code: (context) => context.fail(_`${context.data}.length > ${context.schema}`),
});
ajv.addKeyword({
  keyword: FEWEST_UNITS,
  type: 'string',
  code: (context) => context.fail(_`${context.data}.length < ${context.schema}`),
});

/**
 * Reads values that JSON.parse has made. The usual ones pass a compiled check at a fraction of zod's price and are taken
 * as they are; whatever does not pass is zod's to judge, so what is read, and the words for what is not, are zod's alone.
 *
 * Only for schemas that JSON Schema can say in full: no refinements, no transforms. The spec looks at all of ours.
 */
export function jsonReader<S extends z.ZodType>(schema: S): JsonReader<z.output<S>> {
  let passes: ValidateFunction | undefined;
  return {
    safeParse: (raw) => {
      passes ??= ajv.compile(z.toJSONSchema(schema, { target: 'draft-7', override: narrow }));
      return passes(raw) ? { success: true, data: raw as z.output<S> } : schema.safeParse(raw);
    },
  };
}

/** Says no more than zod would, and costs less. */
function narrow({ zodSchema, jsonSchema }: Parameters<Override>[0]): void {
  // Of a map zod leaves this key out.
  if (zodSchema._zod.def.type === 'record') jsonSchema.propertyNames = { not: { const: '__proto__' } };
  const { minLength, maxLength } = jsonSchema;
  delete jsonSchema.minLength;
  delete jsonSchema.maxLength;
  // Zod counts code points, and to count them takes a look at each character. They are as many as UTF-16 units, or fewer,
  // but never fewer than half of them.
  if (maxLength !== undefined) jsonSchema[MOST_UNITS] = maxLength;
  if (minLength !== undefined) jsonSchema[FEWEST_UNITS] = 2 * minLength - 1;
}
