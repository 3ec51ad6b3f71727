// Ask the router, say how good the answer was, stream another, and rate a session.
//
//	./generate && ROUTER=127.0.0.1:8480 ROUTER_KEY=ar_... go run .
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/adaptive-router/adaptive-router/examples/go/routerv1"
)

func main() {
	connection, err := grpc.NewClient(
		os.Getenv("ROUTER"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+os.Getenv("ROUTER_KEY"))

	router := routerv1.NewRouterServiceClient(connection)
	if err := complete(ctx, router); err != nil {
		log.Fatal(explained(err))
	}
	if err := stream(ctx, router); err != nil {
		log.Fatal(explained(err))
	}
	if err := session(ctx, router, fmt.Sprintf("session-%d", time.Now().UnixNano())); err != nil {
		log.Fatal(explained(err))
	}
}

func complete(ctx context.Context, router routerv1.RouterServiceClient) error {
	response, err := completed(ctx, router, "What is 17 * 23?", fresh())
	if err != nil {
		return err
	}
	receipt := response.GetReceipt()
	fmt.Printf("%s for %.6f USD: %s\n",
		receipt.GetArm(), receipt.GetCostUsd(), response.GetAnswer().GetText())
	_, err = rated(ctx, router, &routerv1.FeedbackRequest{
		DecisionId: receipt.GetDecisionId(), Quality: proto.Float64(1)})
	return err
}

// completed sends the call again where that helps: with the same key it is paid once.
func completed(ctx context.Context, router routerv1.RouterServiceClient, text string,
	routing *routerv1.RoutingOptions) (*routerv1.CompleteResponse, error) {
	routing.IdempotencyKey = rand.Text()
	request := &routerv1.CompleteRequest{Chat: ask(text), Routing: routing}
	return retried(ctx, func() (*routerv1.CompleteResponse, error) {
		return router.Complete(ctx, request)
	})
}

func rated(ctx context.Context, router routerv1.RouterServiceClient,
	said *routerv1.FeedbackRequest) (*routerv1.FeedbackResponse, error) {
	return retried(ctx, func() (*routerv1.FeedbackResponse, error) {
		return router.Feedback(ctx, said)
	})
}

// fresh keeps the answer cache out, so that this can be run twice.
func fresh() *routerv1.RoutingOptions {
	return &routerv1.RoutingOptions{NoCache: true}
}

func stream(ctx context.Context, router routerv1.RouterServiceClient) error {
	events, err := router.StreamComplete(ctx, &routerv1.StreamCompleteRequest{
		Chat: ask("Tell me about rivers."), Routing: fresh()})
	if err != nil {
		return err
	}
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Print(event.GetTextDelta())
		if done := event.GetDone(); done != nil {
			fmt.Printf("\n%s: %d tokens\n", done.GetReceipt().GetPlan(), done.GetOutputTokens())
		}
	}
}

// session works on a task in several turns, and says at the end that it was solved.
func session(ctx context.Context, router routerv1.RouterServiceClient, id string) error {
	for _, step := range []string{"Plan a week of meals.", "Make a shopping list."} {
		routing := fresh()
		routing.SessionId = id
		if _, err := completed(ctx, router, step, routing); err != nil {
			return err
		}
	}
	credited, err := rated(ctx, router, &routerv1.FeedbackRequest{
		SessionId: id, Accepted: proto.Bool(true)})
	if err == nil {
		fmt.Printf("%d decisions share the credit\n", credited.GetDecisions())
	}
	return err
}

func ask(text string) *routerv1.ChatRequest {
	return &routerv1.ChatRequest{
		Messages: []*routerv1.Message{{Role: routerv1.Role_ROLE_USER, Text: text}}}
}

// explained adds the reason that a caller may branch on.
func explained(err error) error {
	if why := reason(status.Convert(err)); why != "" {
		return fmt.Errorf("%s: %w", why, err)
	}
	return err
}
