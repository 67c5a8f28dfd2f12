export * from './clock';
export * from './config';
export * from './logger';
export * from './operations';
export * from './service';
