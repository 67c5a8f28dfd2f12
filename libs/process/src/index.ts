export * from './config';
export * from './logger';
export * from './operations';
export * from './service';
