// Says which calls may be sent again, and when; reads the details of an error for that.
import { setTimeout as sleep } from "node:timers/promises";
import * as grpc from "@grpc/grpc-js";
import protobuf from "protobufjs";

const MOST_CALLS = 5;

// After these the same call may go well later. Sent twice it has to be done and paid once: a
// completion needs an idempotency key for that, feedback is safe by itself.
const AGAIN = new Set([
  "OVERLOADED",
  "QUOTA_EXCEEDED",
  "SHUTTING_DOWN",
  "STORAGE_UNAVAILABLE",
  "ALL_ATTEMPTS_FAILED",
  "IDEMPOTENCY_RUNNING",
  "DECISION_PENDING",
]);

// The parts of google.rpc that are read here.
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { repeated Any details = 3; }
  message ErrorInfo { string reason = 1; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }
`, { keepCase: true });

export interface Told {
  reason: string; // "" for an error that is not the router's
  waitMs: number | undefined; // undefined where the router names none
}

export function toldBy(error: grpc.ServiceError): Told {
  const told: Told = { reason: "", waitMs: undefined };
  const packed = error.metadata?.get("grpc-status-details-bin")[0];
  if (!(packed instanceof Uint8Array)) return told;
  for (const { type_url, value } of decoded("Status", packed).details) {
    const kind = type_url.split(".").pop();
    if (kind === "ErrorInfo") told.reason = decoded(kind, value).reason;
    if (kind === "RetryInfo") {
      const { seconds, nanos } = decoded(kind, value).retry_delay;
      told.waitMs = seconds * 1_000 + nanos / 1e6;
    }
  }
  return told;
}

function decoded(name: string, bytes: Uint8Array): Record<string, any> {
  const type = root.lookupType(name);
  return type.toObject(type.decode(bytes), { defaults: true, longs: Number, arrays: true });
}

// Sends a call again where that helps, as long as its deadline allows the wait.
export async function retried<Result>(
  timeoutMs: number,
  call: (deadline: number) => Promise<Result>,
): Promise<Result> {
  const deadline = Date.now() + timeoutMs;
  for (let sent = 1; ; sent += 1) {
    try {
      return await call(deadline);
    } catch (error) {
      const waitMs = waitAfter(error as grpc.ServiceError, sent);
      if (waitMs === undefined || sent === MOST_CALLS || Date.now() + waitMs >= deadline) {
        throw error;
      }
      await sleep(waitMs);
    }
  }
}

// The wait that the router names, with up to a fifth more so that callers do not come back all at
// once; undefined where the call is not to be sent again.
function waitAfter(error: grpc.ServiceError, sent: number): number | undefined {
  const { reason, waitMs } = toldBy(error);
  if (waitMs !== undefined) {
    return AGAIN.has(reason) ? waitMs * (1 + 0.2 * Math.random()) : undefined;
  }
  // A limit that no waiting lifts comes without a time; a broken connection without a reason.
  const broken = reason === "" && error.code === grpc.status.UNAVAILABLE;
  const passes = broken || (AGAIN.has(reason) && reason !== "QUOTA_EXCEEDED");
  return passes ? Math.min(5_000, 500 * 2 ** (sent - 1)) : undefined;
}
