package main

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const mostCalls = 5

// again holds the reasons after which the same call may go well later. Sent twice it has to be done
// and paid once: a completion needs an idempotency key for that, feedback is safe by itself.
var again = map[string]bool{
	"OVERLOADED":          true,
	"QUOTA_EXCEEDED":      true,
	"SHUTTING_DOWN":       true,
	"STORAGE_UNAVAILABLE": true,
	"ALL_ATTEMPTS_FAILED": true,
	"IDEMPOTENCY_RUNNING": true,
	"DECISION_PENDING":    true,
}

// retried sends a call again where that helps, as long as the context's deadline allows the wait.
func retried[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for sent := 1; ; sent++ {
		answer, err := call()
		if err == nil || sent == mostCalls {
			return answer, err
		}
		wait, ok := waitAfter(err, sent)
		ends, limited := ctx.Deadline()
		if !ok || (limited && time.Until(ends) <= wait) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-time.After(wait):
		}
	}
}

// waitAfter returns the wait that the router names, with up to a fifth more so that callers do not
// come back all at once; false where the call is not to be sent again.
func waitAfter(err error, sent int) (time.Duration, bool) {
	told := status.Convert(err)
	why, named := reason(told), time.Duration(-1)
	for _, detail := range told.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			named = retry.GetRetryDelay().AsDuration()
		}
	}
	if named >= 0 {
		return named + time.Duration(rand.Float64()*0.2*float64(named)), again[why]
	}
	// A limit that no waiting lifts comes without a time; a broken connection without a reason.
	broken := why == "" && told.Code() == codes.Unavailable
	wait := min(time.Second<<(sent-1)/2, 5*time.Second)
	return wait, broken || (again[why] && why != "QUOTA_EXCEEDED")
}

// reason returns the word that a caller may branch on, "" for an error that is not the router's.
func reason(told *status.Status) string {
	for _, detail := range told.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
