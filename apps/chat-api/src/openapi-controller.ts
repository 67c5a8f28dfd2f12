import { Controller, Get, Header, type Type } from '@nestjs/common';
import { openApiDocument } from './openapi';
import { openApiPage } from './openapi-page';

/** The description of the API, for programs and for people. */
export function openApiController(appName: string): Type {
  const document = openApiDocument(appName);
  const text = JSON.stringify(document);
  const page = openApiPage(document);

  @Controller()
  class OpenApiController {
    @Get('openapi.json')
    @Header('content-type', 'application/json; charset=utf-8')
    @Header('access-control-allow-origin', '*')
    json(): string {
      return text;
    }

    @Get('openapi')
    @Header('content-type', 'text/html; charset=utf-8')
    @Header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
    page(): string {
      return page;
    }
  }
  return OpenApiController;
}
