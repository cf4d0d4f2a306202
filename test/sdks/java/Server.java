import io.modelcontextprotocol.server.McpServer;
import io.modelcontextprotocol.server.McpServerFeatures.SyncResourceSpecification;
import io.modelcontextprotocol.server.McpServerFeatures.SyncToolSpecification;
import io.modelcontextprotocol.server.McpSyncServerExchange;
import io.modelcontextprotocol.server.transport.HttpServletStreamableServerTransportProvider;
import io.modelcontextprotocol.spec.McpSchema.CallToolRequest;
import io.modelcontextprotocol.spec.McpSchema.CallToolResult;
import io.modelcontextprotocol.spec.McpSchema.CreateMessageRequest;
import io.modelcontextprotocol.spec.McpSchema.ElicitFormRequest;
import io.modelcontextprotocol.spec.McpSchema.ProgressNotification;
import io.modelcontextprotocol.spec.McpSchema.ReadResourceResult;
import io.modelcontextprotocol.spec.McpSchema.Resource;
import io.modelcontextprotocol.spec.McpSchema.Role;
import io.modelcontextprotocol.spec.McpSchema.SamplingMessage;
import io.modelcontextprotocol.spec.McpSchema.ServerCapabilities;
import io.modelcontextprotocol.spec.McpSchema.TextContent;
import io.modelcontextprotocol.spec.McpSchema.TextResourceContents;
import io.modelcontextprotocol.spec.McpSchema.Tool;
import jakarta.servlet.Filter;
import jakarta.servlet.http.HttpServletResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;

/** A server of the official Java SDK: the servlet that it brings, in Tomcat. ACCEPTED=1: it answers notifications with a text. */
public final class Server {
  static final String NOTE = "test://note";

  interface Run {
    String of(McpSyncServerExchange exchange, CallToolRequest request) throws Exception;
  }

  /** Tells the test by CANCEL_FILE.began that a call is at work, by CANCEL_FILE that it was cancelled. */
  static void mark(String end, String words) throws Exception {
    String path = System.getenv("CANCEL_FILE");
    if (path != null) Files.writeString(Path.of(path + end), words);
  }

  static double number(CallToolRequest request, String name, double otherwise) {
    return request.arguments().get(name) instanceof Number number ? number.doubleValue() : otherwise;
  }

  static String slow(McpSyncServerExchange exchange, CallToolRequest request) throws Exception {
    double seconds = number(request, "seconds", 1);
    mark(".began", "began");
    try {
      Thread.sleep((long) (seconds * 1000));
      return "slept " + seconds + " seconds";
    } catch (InterruptedException error) {
      mark("", "cancelled");
      throw error;
    }
  }

  static String progress(McpSyncServerExchange exchange, CallToolRequest request) throws Exception {
    int steps = (int) number(request, "steps", 4);
    Object token = request.meta() == null ? null : request.meta().get("progressToken");
    for (int step = 1; step <= steps; step++) {
      if (token != null) exchange.progressNotification(new ProgressNotification(token, step, (double) steps, null));
      Thread.sleep(20);
    }
    return steps + " steps done";
  }

  static String sample(McpSyncServerExchange exchange, CallToolRequest request) {
    var asked = new SamplingMessage(Role.USER, TextContent.builder("Say something.").build());
    var answer = exchange.createMessage(CreateMessageRequest.builder(List.of(asked), 20).build());
    return "the model said: " + ((TextContent) answer.content()).text();
  }

  static String elicit(McpSyncServerExchange exchange, CallToolRequest request) {
    Map<String, Object> schema =
        Map.of("type", "object", "properties", Map.of("name", Map.of("type", "string")), "required", List.of("name"));
    var answer = exchange.createElicitation(ElicitFormRequest.builder("What is your name?", schema).build());
    return "the user said: " + answer.action() + " " + answer.content().get("name");
  }

  static String fail(McpSyncServerExchange exchange, CallToolRequest request) {
    throw new IllegalStateException("it went wrong");
  }

  static SyncToolSpecification tool(String name, Run run) {
    BiFunction<McpSyncServerExchange, CallToolRequest, CallToolResult> handler =
        (exchange, request) -> {
          try {
            return CallToolResult.builder().addTextContent(run.of(exchange, request)).build();
          } catch (Exception error) {
            return CallToolResult.builder().addTextContent(String.valueOf(error.getMessage())).isError(true).build();
          }
        };
    var tool = Tool.builder(name, Map.of("type", "object")).description("Tests " + name + ".").build();
    return SyncToolSpecification.builder().tool(tool).callHandler(handler).build();
  }

  static List<SyncToolSpecification> tools() {
    var tools = new ArrayList<SyncToolSpecification>();
    tools.add(tool("echo", (exchange, request) -> "Echo: " + request.arguments().get("message")));
    tools.add(tool("slow", Server::slow));
    tools.add(tool("progress", Server::progress));
    tools.add(tool("sample", Server::sample));
    tools.add(tool("elicit", Server::elicit));
    tools.add(tool("fail", Server::fail));
    tools.add(tool("pid", (exchange, request) -> String.valueOf(ProcessHandle.current().pid())));
    tools.add(tool("env", (exchange, request) -> System.getenv().keySet().toString()));
    return tools;
  }

  static SyncResourceSpecification note() {
    var contents = TextResourceContents.builder(NOTE, "a note").mimeType("text/plain").build();
    return new SyncResourceSpecification(
        Resource.builder(NOTE, "note").build(), (exchange, request) -> ReadResourceResult.builder(List.of(contents)).build());
  }

  /** Gives each 202 a text, as some frameworks around the SDK do. */
  static void addText(Context context) {
    Filter filter =
        (request, response, chain) -> {
          chain.doFilter(request, response);
          if (((HttpServletResponse) response).getStatus() != 202 || response.isCommitted()) return;
          response.setContentType("text/plain;charset=UTF-8");
          response.getWriter().write("Accepted");
        };
    var definition = new FilterDef();
    definition.setFilterName("accepted");
    definition.setFilter(filter);
    definition.setAsyncSupported("true");
    var mapping = new FilterMap();
    mapping.setFilterName("accepted");
    mapping.addURLPattern("/*");
    context.addFilterDef(definition);
    context.addFilterMap(mapping);
  }

  public static void main(String[] args) throws Exception {
    var provider = HttpServletStreamableServerTransportProvider.builder().mcpEndpoint("/mcp").build();
    McpServer.sync(provider)
        .serverInfo("java", "1.0.0")
        .capabilities(ServerCapabilities.builder().tools(true).resources(false, false).build())
        .tools(tools())
        .resources(note())
        .build();
    var tomcat = new Tomcat();
    tomcat.setBaseDir(Files.createTempDirectory("tomcat").toString());
    tomcat.setHostname("127.0.0.1");
    tomcat.setPort(Integer.parseInt(System.getenv("PORT")));
    tomcat.getConnector().setProperty("address", "127.0.0.1");
    var context = tomcat.addContext("", null);
    var servlet = Tomcat.addServlet(context, "mcp", provider);
    servlet.setAsyncSupported(true);
    context.addServletMappingDecoded("/*", "mcp");
    if (System.getenv("ACCEPTED") != null) addText(context);
    tomcat.start();
    tomcat.getServer().await();
  }
}
