// Ask the router, say how good the answer was, stream another, and rate a session.
//
//   npm ci && npm run build && ROUTER=127.0.0.1:8480 ROUTER_KEY=ar_... node dist/main.js
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { ChatRequest } from "./generated/adaptive_router/v1/ChatRequest.js";
import type { CompleteRequest } from "./generated/adaptive_router/v1/CompleteRequest.js";
import type { CompleteResponse__Output } from "./generated/adaptive_router/v1/CompleteResponse.js";
import type { FeedbackRequest } from "./generated/adaptive_router/v1/FeedbackRequest.js";
import type { FeedbackResponse__Output } from "./generated/adaptive_router/v1/FeedbackResponse.js";
import type { RoutingOptions } from "./generated/adaptive_router/v1/RoutingOptions.js";
import type { RouterServiceClient } from "./generated/adaptive_router/v1/RouterService.js";
import type { StreamCompleteResponse__Output } from "./generated/adaptive_router/v1/StreamCompleteResponse.js";
import type { ProtoGrpcType } from "./generated/router.js";
import { retried, toldBy } from "./retry.js";

const TIMEOUT_MS = 60_000;
const PROTOS = process.env.PROTOS ?? fileURLToPath(new URL("../../../protos", import.meta.url));

const contract = grpc.loadPackageDefinition(
  loadSync("adaptive_router/v1/router.proto", {
    includeDirs: [PROTOS],
    keepCase: true,
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
  }),
) as unknown as ProtoGrpcType;

const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${process.env.ROUTER_KEY}`);

type Call<Request, Response> = (
  request: Request,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  callback: grpc.requestCallback<Response>,
) => grpc.ClientUnaryCall;

function sent<Request, Response>(
  client: RouterServiceClient,
  call: Call<Request, Response>,
  request: Request,
): Promise<Response> {
  return retried(TIMEOUT_MS, (deadline) => once(client, call, request, deadline));
}

function once<Request, Response>(
  client: RouterServiceClient,
  call: Call<Request, Response>,
  request: Request,
  deadline: number,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    call.call(client, request, metadata, { deadline }, (error, response) =>
      error || response === undefined ? reject(error) : resolve(response),
    );
  });
}

async function main(): Promise<void> {
  const router = new contract.adaptive_router.v1.RouterService(
    process.env.ROUTER ?? "127.0.0.1:8480",
    grpc.credentials.createInsecure(),
  );
  try {
    await complete(router);
    await stream(router);
    await session(router, randomUUID());
  } finally {
    router.close();
  }
}

async function complete(router: RouterServiceClient): Promise<void> {
  const done = await completed(router, {
    chat: ask("What is 17 * 23?"),
    routing: fresh(),
  });
  const receipt = done.receipt!;
  console.log(`${receipt.arm} for ${receipt.cost_usd.toFixed(6)} USD: ${done.answer!.text}`);
  await feedback(router, { decision_id: receipt.decision_id, quality: 1 });
}

async function stream(router: RouterServiceClient): Promise<void> {
  const options = { deadline: Date.now() + TIMEOUT_MS };
  const request = { chat: ask("Tell me about rivers."), routing: fresh() };
  const events: AsyncIterable<StreamCompleteResponse__Output> = router.StreamComplete(
    request,
    metadata,
    options,
  );
  for await (const event of events) {
    if (event.event === "text_delta") process.stdout.write(event.text_delta ?? "");
    if (event.event === "done") {
      console.log(`\n${event.done!.receipt!.plan}: ${event.done!.output_tokens} tokens`);
    }
  }
}

// Work on a task in several turns, and say at the end that it was solved.
async function session(router: RouterServiceClient, session_id: string): Promise<void> {
  for (const step of ["Plan a week of meals.", "Make a shopping list."]) {
    await completed(router, { chat: ask(step), routing: { ...fresh(), session_id } });
  }
  const credited = await feedback(router, { session_id, accepted: true });
  console.log(`${credited.decisions} decisions share the credit`);
}

function completed(
  router: RouterServiceClient,
  request: CompleteRequest,
): Promise<CompleteResponse__Output> {
  return sent<CompleteRequest, CompleteResponse__Output>(router, router.Complete, request);
}

function feedback(
  router: RouterServiceClient,
  request: FeedbackRequest,
): Promise<FeedbackResponse__Output> {
  return sent<FeedbackRequest, FeedbackResponse__Output>(router, router.Feedback, request);
}

// Sent again with the same key a call is answered and charged once. The answer cache is kept out, so
// that this can be run twice.
function fresh(): RoutingOptions {
  return { idempotency_key: randomUUID(), no_cache: true };
}

function ask(text: string): ChatRequest {
  return { messages: [{ role: "ROLE_USER", text }] };
}

main().catch((error: grpc.ServiceError) => {
  // The reason is what a caller may branch on.
  console.error(`${toldBy(error).reason || grpc.status[error.code]}: ${error.details}`);
  process.exitCode = 1;
});
