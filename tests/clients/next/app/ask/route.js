export async function POST(request) {
  const answer = await fetch("http://127.0.0.1:9/stream", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: await request.text(),
    signal: request.signal,
  });
  return new Response(answer.body, { status: answer.status, headers: answer.headers });
}
