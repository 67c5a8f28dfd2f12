export * from './bus';
export * from './log-appender';
export * from './streams';
