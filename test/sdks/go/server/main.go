// A server of the official Go SDK, whose streams can be resumed. SESSIONLESS=1: it keeps no sessions, and speaks both eras.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const note = "test://note"

type request = mcp.CallToolRequest
type result = mcp.CallToolResult

func text(words string) *result {
	return &result{Content: []mcp.Content{&mcp.TextContent{Text: words}}}
}

// mark tells the test by CANCEL_FILE.began that a call is at work, by CANCEL_FILE that it was cancelled.
func mark(end, words string) {
	if path := os.Getenv("CANCEL_FILE"); path != "" {
		if err := os.WriteFile(path+end, []byte(words), 0o600); err != nil {
			log.Print(err)
		}
	}
}

type none struct{}
type echoed struct {
	Message string `json:"message"`
}
type waited struct {
	Seconds float64 `json:"seconds"`
}
type counted struct {
	Steps int `json:"steps,omitempty"`
}

func slow(ctx context.Context, _ *request, in waited) (*result, any, error) {
	mark(".began", "began")
	select {
	case <-time.After(time.Duration(in.Seconds * float64(time.Second))):
		return text(fmt.Sprintf("slept %g seconds", in.Seconds)), nil, nil
	case <-ctx.Done():
		mark("", "cancelled")
		return nil, nil, ctx.Err()
	}
}

func progress(ctx context.Context, req *request, in counted) (*result, any, error) {
	if in.Steps == 0 {
		in.Steps = 4
	}
	for step := 1; step <= in.Steps; step++ {
		if token := req.Params.GetProgressToken(); token != nil {
			params := &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(step), Total: float64(in.Steps)}
			if err := req.Session.NotifyProgress(ctx, params); err != nil {
				return nil, nil, err
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return text(fmt.Sprintf("%d steps done", in.Steps)), nil, nil
}

func sample(_ context.Context, req *request, _ none) (*result, any, error) {
	if len(req.Params.InputResponses) == 0 {
		asked := &mcp.SamplingMessage{Role: "user", Content: &mcp.TextContent{Text: "Say something."}}
		params := &mcp.CreateMessageParams{MaxTokens: 20, Messages: []*mcp.SamplingMessage{asked}}
		return &result{InputRequests: mcp.InputRequestMap{"sample": params}}, nil, nil
	}
	answer := req.Params.InputResponses["sample"].(*mcp.CreateMessageWithToolsResult)
	return text("the model said: " + answer.Content[0].(*mcp.TextContent).Text), nil, nil
}

func elicit(_ context.Context, req *request, _ none) (*result, any, error) {
	if len(req.Params.InputResponses) == 0 {
		schema := &jsonschema.Schema{
			Type:       "object",
			Properties: map[string]*jsonschema.Schema{"name": {Type: "string"}},
			Required:   []string{"name"},
		}
		params := &mcp.ElicitParams{Message: "What is your name?", RequestedSchema: schema}
		return &result{InputRequests: mcp.InputRequestMap{"name": params}}, nil, nil
	}
	answer := req.Params.InputResponses["name"].(*mcp.ElicitResult)
	return text(fmt.Sprintf("the user said: %s %v", answer.Action, answer.Content["name"])), nil, nil
}

func saying(words func() string) mcp.ToolHandlerFor[none, any] {
	return func(context.Context, *request, none) (*result, any, error) { return text(words()), nil, nil }
}

func tool(name string) *mcp.Tool { return &mcp.Tool{Name: name, Description: "Tests " + name + "."} }

func makeServer() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "go", Version: "1.0.0"}, nil)
	mcp.AddTool(server, tool("echo"), func(_ context.Context, _ *request, in echoed) (*result, any, error) {
		return text("Echo: " + in.Message), nil, nil
	})
	mcp.AddTool(server, tool("slow"), slow)
	mcp.AddTool(server, tool("progress"), progress)
	mcp.AddTool(server, tool("sample"), sample)
	mcp.AddTool(server, tool("elicit"), elicit)
	mcp.AddTool(server, tool("pid"), saying(func() string { return fmt.Sprint(os.Getpid()) }))
	mcp.AddTool(server, tool("env"), saying(func() string { return strings.Join(os.Environ(), " ") }))
	mcp.AddTool(server, tool("fail"), func(context.Context, *request, none) (*result, any, error) {
		return nil, nil, errors.New("it went wrong")
	})
	server.AddResource(&mcp.Resource{URI: note, Name: "note"},
		func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: note, Text: "a note"}}}, nil
		})
	return server
}

func main() {
	server := makeServer()
	options := &mcp.StreamableHTTPOptions{EventStore: mcp.NewMemoryEventStore(nil)}
	if os.Getenv("SESSIONLESS") != "" {
		options = &mcp.StreamableHTTPOptions{Stateless: true, PropagateRequestCancellation: true}
	}
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, options)
	http.Handle("/mcp", handler)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
