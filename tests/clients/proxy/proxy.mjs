// A proxy as people put one in front of a server, which compresses what passes: Express with `compression`, in front of
// http-proxy-middleware, as Next.js does with its rewrites. Argument: the server's address. Prints its own.
import compression from "compression";
import express from "express";
import { createProxyMiddleware } from "http-proxy-middleware";

const app = express();
app.use(compression());
app.use(createProxyMiddleware({ target: process.argv[2] }));
const server = app.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
