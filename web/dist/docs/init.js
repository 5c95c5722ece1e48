// Starts Swagger UI on the server's own document. No validator is asked and nothing is fetched from elsewhere.
addEventListener('DOMContentLoaded', () => {
  globalThis.SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#swagger-ui',
    validatorUrl: null,
    deepLinking: true,
    displayOperationId: true,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    tryItOutEnabled: false,
    presets: [globalThis.SwaggerUIBundle.presets.apis],
  });
});
