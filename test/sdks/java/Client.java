import io.modelcontextprotocol.client.McpAsyncClient;
import io.modelcontextprotocol.client.McpClient;
import io.modelcontextprotocol.client.transport.HttpClientStreamableHttpTransport;
import io.modelcontextprotocol.spec.McpError;
import io.modelcontextprotocol.spec.McpSchema.CallToolRequest;
import io.modelcontextprotocol.spec.McpSchema.ClientCapabilities;
import io.modelcontextprotocol.spec.McpSchema.CreateMessageResult;
import io.modelcontextprotocol.spec.McpSchema.ElicitResult;
import io.modelcontextprotocol.spec.McpSchema.Implementation;
import io.modelcontextprotocol.spec.McpSchema.ReadResourceRequest;
import io.modelcontextprotocol.spec.McpSchema.Resource;
import io.modelcontextprotocol.spec.McpSchema.Role;
import io.modelcontextprotocol.spec.McpSchema.TextContent;
import io.modelcontextprotocol.spec.McpSchema.TextResourceContents;
import io.modelcontextprotocol.spec.McpSchema.Tool;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpRequest;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import reactor.core.Disposable;
import reactor.core.publisher.Mono;
import tools.jackson.databind.ObjectMapper;

/**
 * A client of the official Java SDK, driven by JSON lines; test/sdks/client-program.ts is the other end, and says what
 * commands there are.
 */
public final class Client {
  static final ObjectMapper json = new ObjectMapper();
  static final Map<Integer, Disposable> calls = new ConcurrentHashMap<>();
  static volatile McpAsyncClient client;

  static synchronized void say(Map<String, Object> line) {
    System.out.println(json.writeValueAsString(line));
    System.out.flush();
  }

  /** What a person sees of an error and its causes, and what a program can read of it. */
  static Map<String, Object> failureOf(Throwable error) {
    var failure = new HashMap<String, Object>();
    var shown = new StringBuilder(error.toString());
    for (Throwable each = error.getCause(); each != null; each = each.getCause()) shown.append("\nCaused by: ").append(each);
    failure.put("shown", shown.toString());
    for (String field : new String[] {"rpc", "message", "data"}) failure.put(field, null);
    for (Throwable each = error; each != null; each = each.getCause()) {
      if (!(each instanceof McpError told) || told.getJsonRpcError() == null) continue;
      failure.put("rpc", told.getJsonRpcError().code());
      failure.put("message", told.getJsonRpcError().message());
      failure.put("data", told.getJsonRpcError().data());
    }
    return failure;
  }

  static Mono<Map<String, Object>> connect(Map<String, Object> command) {
    var url = URI.create((String) command.get("url"));
    var limit = Duration.ofSeconds(((Number) command.get("timeout")).longValue());
    var transport =
        HttpClientStreamableHttpTransport.builder(url.getScheme() + "://" + url.getAuthority())
            .endpoint(url.getPath())
            .requestBuilder(HttpRequest.newBuilder().header("Authorization", "Bearer " + command.get("token")))
            .build();
    client =
        McpClient.async(transport)
            .requestTimeout(limit)
            .initializationTimeout(limit)
            .clientInfo(Implementation.builder("java", "1").build())
            .capabilities(ClientCapabilities.builder().sampling().elicitation().build())
            .sampling(request -> Mono.just(CreateMessageResult.builder(Role.ASSISTANT, "sampled!", "test-model").build()))
            .elicitation(
                request ->
                    Mono.just(ElicitResult.builder(ElicitResult.Action.ACCEPT).content(Map.of("name", "Ada")).build()))
            .progressConsumer(told -> Mono.fromRunnable(() -> heard(((Number) told.progressToken()).intValue())))
            .build();
    return client.initialize().map(agreed -> Map.of("revision", agreed.protocolVersion()));
  }

  static void heard(int call) {
    say(Map.of("event", "progress", "call", call));
  }

  @SuppressWarnings("unchecked")
  static Mono<Map<String, Object>> call(int id, Map<String, Object> command) {
    var request =
        CallToolRequest.builder((String) command.get("tool"))
            .arguments((Map<String, Object>) command.get("args"))
            .progressToken(id)
            .build();
    return client
        .callTool(request)
        .map(
            result -> {
              var text =
                  result.content().stream()
                      .map(part -> part instanceof TextContent words ? words.text() : "")
                      .collect(Collectors.joining());
              return Map.of("text", text, "error", result.isError() == Boolean.TRUE);
            });
  }

  /** Gives up a call as every program of reactive streams does; the library has no other way. */
  static Mono<Map<String, Object>> cancel(int call) {
    var running = calls.remove(call);
    if (running != null) {
      running.dispose();
      say(Map.of("id", call, "failure", Map.of("shown", "cancelled")));
    }
    return Mono.just(Map.of());
  }

  static Mono<Map<String, Object>> carryOut(int id, Map<String, Object> command) {
    return switch ((String) command.get("do")) {
      case "connect" -> connect(command);
      case "call" -> call(id, command);
      case "cancel" -> cancel(((Number) command.get("call")).intValue());
      case "tools" -> client.listTools().map(list -> Map.of("tools", list.tools().stream().map(Tool::name).toList()));
      case "resources" ->
          client.listResources().map(list -> Map.of("uris", list.resources().stream().map(Resource::uri).toList()));
      case "read" ->
          client
              .readResource(ReadResourceRequest.builder((String) command.get("uri")).build())
              .map(result -> Map.of("text", ((TextResourceContents) result.contents().get(0)).text()));
      case "close" -> client.closeGracefully().thenReturn(Map.of());
      default -> Mono.error(new IllegalArgumentException("no such command: " + command.get("do")));
    };
  }

  @SuppressWarnings("unchecked")
  public static void main(String[] args) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in));
    for (String text = lines.readLine(); text != null; text = lines.readLine()) {
      Map<String, Object> command = json.readValue(text, Map.class);
      int id = ((Number) command.get("id")).intValue();
      calls.put(
          id,
          Mono.defer(() -> carryOut(id, command))
              .subscribe(
                  answer -> {
                    var line = new HashMap<String, Object>(answer);
                    line.put("id", id);
                    say(line);
                  },
                  error -> say(Map.of("id", id, "failure", failureOf(error)))));
    }
    System.exit(0);
  }
}
