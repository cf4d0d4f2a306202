// A client of the official Go SDK, driven by JSON lines; test/sdks/client-program.ts is the other end, and says what
// commands there are. It asks the server for its era, as it does by default.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type command struct {
	ID      int            `json:"id"`
	Do      string         `json:"do"`
	URL     string         `json:"url"`
	Token   string         `json:"token"`
	Timeout float64        `json:"timeout"`
	Tool    string         `json:"tool"`
	Args    map[string]any `json:"args"`
	Call    int            `json:"call"`
	URI     string         `json:"uri"`
	// Alone: no stream for what the server says by itself. Connect waits for the head of that stream's answer.
	Alone bool `json:"alone"`
}

type line = map[string]any

// A peer is the client with its one connection.
type peer struct {
	lock    sync.Mutex
	session *mcp.ClientSession
	timeout time.Duration
	running map[int]context.CancelFunc
}

var writing sync.Mutex

func say(words line) {
	text, err := json.Marshal(words)
	if err != nil {
		panic(err)
	}
	writing.Lock()
	defer writing.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

func failureOf(err error) line {
	failure := line{"shown": err.Error(), "rpc": nil, "message": nil, "data": nil}
	var told *jsonrpc.Error
	if errors.As(err, &told) {
		failure["rpc"] = told.Code
		failure["message"] = told.Message
		failure["data"] = told.Data
	}
	return failure
}

type authorized struct{ token string }

func (a authorized) RoundTrip(request *http.Request) (*http.Response, error) {
	own := request.Clone(request.Context())
	own.Header.Set("Authorization", "Bearer "+a.token)
	return http.DefaultTransport.RoundTrip(own)
}

func (p *peer) heard(_ context.Context, request *mcp.ProgressNotificationClientRequest) {
	token, ok := request.Params.ProgressToken.(float64)
	if !ok {
		return
	}
	say(line{"event": "progress", "call": int(token)})
}

func (p *peer) connect(c command) (line, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "go", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: p.heard,
		CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return &mcp.CreateMessageResult{Model: "test-model", Role: "assistant", Content: &mcp.TextContent{Text: "sampled!"}}, nil
		},
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ada"}}, nil
		},
	})
	p.timeout = time.Duration(c.Timeout * float64(time.Second))
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	transport := &mcp.StreamableClientTransport{
		Endpoint:             c.URL,
		HTTPClient:           &http.Client{Transport: authorized{c.Token}},
		DisableStandaloneSSE: c.Alone,
	}
	session, err := client.Connect(ctx, transport, nil)
	if err != nil {
		return nil, err
	}
	p.session = session
	return line{"revision": session.InitializeResult().ProtocolVersion}, nil
}

func (p *peer) call(ctx context.Context, c command) (line, error) {
	params := &mcp.CallToolParams{Meta: mcp.Meta{"progressToken": c.ID}, Name: c.Tool, Arguments: c.Args}
	result, err := p.session.CallTool(ctx, params)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for _, part := range result.Content {
		if each, ok := part.(*mcp.TextContent); ok {
			text.WriteString(each.Text)
		}
	}
	return line{"text": text.String(), "error": result.IsError}, nil
}

func (p *peer) tools(ctx context.Context) (line, error) {
	names := []string{}
	for tool, err := range p.session.Tools(ctx, nil) {
		if err != nil {
			return nil, err
		}
		names = append(names, tool.Name)
	}
	return line{"tools": names}, nil
}

func (p *peer) resources(ctx context.Context) (line, error) {
	uris := []string{}
	for resource, err := range p.session.Resources(ctx, nil) {
		if err != nil {
			return nil, err
		}
		uris = append(uris, resource.URI)
	}
	return line{"uris": uris}, nil
}

func (p *peer) read(ctx context.Context, uri string) (line, error) {
	result, err := p.session.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri})
	if err != nil {
		return nil, err
	}
	return line{"text": result.Contents[0].Text}, nil
}

// cancel gives up a call as every Go program does: by its context.
func (p *peer) cancel(call int) (line, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if cancel, ok := p.running[call]; ok {
		cancel()
	}
	return line{}, nil
}

func (p *peer) carryOut(c command) (line, error) {
	if c.Do == "connect" {
		return p.connect(c)
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	switch c.Do {
	case "call":
		p.lock.Lock()
		p.running[c.ID] = cancel
		p.lock.Unlock()
		return p.call(ctx, c)
	case "tools":
		return p.tools(ctx)
	case "resources":
		return p.resources(ctx)
	case "read":
		return p.read(ctx, c.URI)
	case "cancel":
		return p.cancel(c.Call)
	case "close":
		return line{}, p.session.Close()
	}
	return nil, errors.New("no such command: " + c.Do)
}

func main() {
	p := &peer{running: map[int]context.CancelFunc{}}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			panic(err)
		}
		go func() {
			answer, err := p.carryOut(c)
			if err != nil {
				answer = line{"failure": failureOf(err)}
			}
			answer["id"] = c.ID
			say(answer)
		}()
	}
}
