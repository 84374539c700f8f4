export default () => globalThis.tearDownTestServer();
