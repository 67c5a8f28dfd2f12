import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto';

/** What the opaque key of pushes and CometD stands for. */
export interface ObfuscatedContent {
  sessionId: string;
  userId: string;
  secureKey: string;
  /** Only when the client gave `GCTI_GMS_ClientChannel`. */
  service?: string;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CHARS_MAX = 512;

/**
 * Authenticated encryption of a participant's credentials (CONTRACT 6 #29), opaque to clients: AES-256-GCM, as
 * base64 of nonce, tag and ciphertext. The nonce is a MAC of the plaintext: it repeats only where the plaintext does,
 * which GCM permits, and the same credentials give the same key on every replica, as a repeated record needs.
 */
export class KeyObfuscator {
  private readonly cipherKey: Buffer;
  private readonly nonceKey: Buffer;

  constructor(secret: string) {
    this.cipherKey = purposeKey(secret, 'obfuscated-key-cipher');
    this.nonceKey = purposeKey(secret, 'obfuscated-key-nonce');
  }

  encode(content: ObfuscatedContent): string {
    const { sessionId, userId, secureKey, service } = content;
    const plaintext = JSON.stringify({
      sid: sessionId,
      uid: userId,
      key: secureKey,
      ...(service === undefined ? {} : { service }),
    });
    const nonce = createHmac('sha256', this.nonceKey).update(plaintext).digest().subarray(0, NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.cipherKey, nonce);
    const ciphertext = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), ciphertext]).toString('base64');
  }

  /** Undefined when the text is not a key that this cluster made. */
  decode(text: string): ObfuscatedContent | undefined {
    if (text.length > CHARS_MAX) return undefined;
    const bytes = Buffer.from(text, 'base64');
    if (bytes.length <= NONCE_BYTES + TAG_BYTES) return undefined;
    const plaintext = this.decrypt(bytes);
    return plaintext === undefined ? undefined : readContent(plaintext);
  }

  private decrypt(bytes: Buffer): string | undefined {
    const decipher = createDecipheriv('aes-256-gcm', this.cipherKey, bytes.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    try {
      const ciphertext = bytes.subarray(NONCE_BYTES + TAG_BYTES);
      return Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString('utf8');
    } catch {
      // The tag does not fit: forged, damaged, or made under another secret.
      return undefined;
    }
  }
}

/** The plaintext is authentic, so it is JSON of our own making. */
function readContent(plaintext: string): ObfuscatedContent {
  const { sid, uid, key, service } = JSON.parse(plaintext) as Record<string, string>;
  return {
    sessionId: sid as string,
    userId: uid as string,
    secureKey: key as string,
    ...(service === undefined ? {} : { service }),
  };
}

function purposeKey(secret: string, purpose: string): Buffer {
  return createHash('sha256').update(`${secret}\0${purpose}`).digest();
}
