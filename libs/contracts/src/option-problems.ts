import { createPrivateKey } from 'node:crypto';
import { parseJson } from './parse-json';

/** Checks of option values beyond their type. Each says in words what the value must be, never what stood there. */

/** `kind` as it stands behind BEGIN; keys may have a word before it, such as EC. */
export function pemProblem(kind: 'CERTIFICATE' | 'PRIVATE KEY') {
  const block = new RegExp(
    `-----BEGIN (?:[A-Z]+ )?${kind}-----\\s[A-Za-z0-9+/=\\s]+-----END (?:[A-Z]+ )?${kind}-----`,
  );
  return (value: string): string | undefined =>
    block.test(value) && !value.includes('ENCRYPTED') ? undefined : `PEM text with a ${kind}`;
}

/** Apple signs with P-256 only; with another key APNs refuses every push, and nothing tells it before the first one. */
export function apnsKeyProblem(value: string): string | undefined {
  return (
    pemProblem('PRIVATE KEY')(value) ??
    (isP256(value) ? undefined : 'a private key of the curve P-256, as in the .p8 file that Apple gives')
  );
}

function isP256(key: string): boolean {
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = createPrivateKey(key);
    return asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1';
  } catch {
    // OpenSSL's words may hold parts of the key.
    return false;
  }
}

export function jsonObjectProblem(value: string): string | undefined {
  return parsedObject(value) === undefined ? 'a JSON object' : undefined;
}

/** A comma list of origins, as browsers send them, or stars. */
export function originsProblem(value: string): string | undefined {
  const parts = value.split(',').map((part) => part.trim().replace(/\/$/, ''));
  const isOrigin = (part: string) =>
    part === '' || part === '*' || (URL.canParse(part) && new URL(part).origin === part);
  return parts.every(isOrigin)
    ? undefined
    : 'origins such as https://www.example.org, separated by commas, or *';
}

/** Standard Webhooks: `whsec_` and 24 to 64 bytes in base64. */
export function webhookSecretProblem(value: string): string | undefined {
  const found = /^whsec_([A-Za-z0-9+/]+)(={0,2})$/.exec(value);
  const chars = found?.[1]?.length ?? 0;
  const bytes = Math.floor((chars * 3) / 4);
  const isPadded = (chars + (found?.[2]?.length ?? 0)) % 4 === 0;
  return isPadded && bytes >= 24 && bytes <= 64 ? undefined : 'whsec_ and 24 to 64 bytes in base64';
}

const LOCALIZATION = 'JSON: language, then event, then title and body';

/** The form of option `localization` (CONTRACT 3.6). */
export function localizationProblem(value: string): string | undefined {
  const languages = parsedObject(value);
  if (languages === undefined) return LOCALIZATION;
  for (const events of Object.values(languages)) {
    if (!isObject(events)) return LOCALIZATION;
    for (const texts of Object.values(events)) {
      if (!isObject(texts)) return LOCALIZATION;
      for (const [name, content] of Object.entries(texts)) {
        if (!['title', 'body'].includes(name) || typeof content !== 'string') return LOCALIZATION;
      }
    }
  }
  return undefined;
}

function parsedObject(value: string): Record<string, unknown> | undefined {
  const parsed = parseJson(value);
  return isObject(parsed) ? parsed : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
