export default {
  async rewrites() {
    return [{ source: "/api/:path*", destination: "http://127.0.0.1:9/:path*" }];
  },
};
