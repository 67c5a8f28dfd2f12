/** How a value is checked. Values are stored as text, as in a Genesys configuration. */
export type OptionType =
  | { kind: 'boolean' }
  | { kind: 'integer'; min: number; max: number; unit?: 's' }
  | { kind: 'subset'; of: readonly string[] }
  | { kind: 'choice'; of: readonly string[] }
  | { kind: 'text'; maxChars: number }
  | { kind: 'url' }
  /** Shown nowhere; `flexpush options` hides what is set. */
  | { kind: 'secret'; maxChars: number };

export interface OptionSpec {
  /** `settings`, `chat`, `chat.<service>`, `push`, `push.provider.<name>` and others; the last parts of the two wild ones are free. */
  sections: readonly string[];
  name: string;
  type: OptionType;
  /** Absent: not set unless someone sets it. */
  default?: string;
  since: string;
  meaning: string;
  /** What a value that fits the type must be besides, in words without the value; undefined when it is good. */
  problem?: (value: string) => string | undefined;
  /**
   * Who reads it: the fold (by a log record), GMS nodes or chat-api (from the watched bucket). Nobody: it is accepted
   * because configurations have it, and changes nothing; `meaning` says why.
   */
  readBy: readonly ('fold' | 'delivery' | 'chat-api')[];
}
