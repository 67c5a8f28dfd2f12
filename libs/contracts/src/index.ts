export { AgeList, type Aged } from './age-list';
export * from './bounds';
export * from './chat-response';
export * from './comet';
export * from './ids';
export * from './log-ids';
export * from './membership';
export * from './nats-url';
export * from './notice';
export * from './option-spec';
export * from './options';
export * from './options-elsewhere';
export { noticeLevels, type NoticeLevel } from './options-chat-server';
export * from './parse-json';
export { PassingMap } from './passing-map';
export * from './push';
export { type JsonReader } from './json-reader';
export { callRepliesReader, dispatchReader, pushResultsReader, readRecord } from './readers';
export * from './records';
export * from './redaction';
export * from './redis-url';
export * from './subjects';
export * from './user-data';
export { apnsKeyProblem, localizationProblem } from './option-problems';
export {
  apnsArguments,
  PUSH_BODY_CHARS,
  PUSH_TITLE_CHARS,
  pushOptions,
  type ApnsArgument,
} from './options-push';
