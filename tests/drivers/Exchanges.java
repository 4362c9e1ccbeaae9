// What Java's HttpClient hears of each line of exchanges.tsv: a line per exchange.
//
//   java Exchanges.java TABLE HTTP_1_1|HTTP_2 URL AUTHORITY|- USER:PASSWORD
import java.io.ByteArrayInputStream;
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Exchanges {
  static final Set<String> SHOWN = Set.of("content-type", "location", "set-cookie", "etag",
      "cache-control", "vary", "link", "last-modified", "content-range", "accept-ranges",
      "retry-after", "content-encoding");

  static HttpClient.Builder client(String version, String authority) throws Exception {
    var builder = HttpClient.newBuilder()
        .version(HttpClient.Version.valueOf(version)).connectTimeout(Duration.ofSeconds(20));
    if (!authority.equals("-")) {
      var store = KeyStore.getInstance(KeyStore.getDefaultType());
      store.load(null);
      try (var file = new FileInputStream(authority)) {
        var factory = CertificateFactory.getInstance("X.509");
        store.setCertificateEntry("authority", factory.generateCertificate(file));
      }
      var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      trust.init(store);
      var context = SSLContext.getInstance("TLS");
      context.init(null, trust.getTrustManagers(), null);
      builder.sslContext(context);
    }
    return builder;
  }

  static HttpRequest.BodyPublisher body(String content) {
    var parts = content.split(":", 2);
    switch (parts[0]) {
      case "text":
        return HttpRequest.BodyPublishers.ofString(parts[1]);
      case "bytes":
      case "stream":
        var bytes = new byte[Integer.parseInt(parts[1])];
        for (int at = 0; at < bytes.length; at++) {
          bytes[at] = (byte) at;
        }
        return parts[0].equals("bytes")
            ? HttpRequest.BodyPublishers.ofByteArray(bytes)
            : HttpRequest.BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(bytes));
      default:
        return HttpRequest.BodyPublishers.noBody();
    }
  }

  public static void main(String[] args) throws Exception {
    var login = Base64.getEncoder().encodeToString(args[4].getBytes(StandardCharsets.UTF_8));
    var plain = client(args[1], args[3]).build();
    var following = client(args[1], args[3]).followRedirects(HttpClient.Redirect.NORMAL).build();
    List<String> lines = Files.readAllLines(Path.of(args[0]));
    for (var line : lines.subList(1, lines.size())) {
      var cells = line.split("\t");
      var request = HttpRequest.newBuilder(URI.create(args[2] + cells[2]))
          .method(cells[1], body(cells[4])).timeout(Duration.ofSeconds(30))
          .header("Authorization", "Basic " + login);
      if (!cells[3].equals("-")) {
        for (var pair : cells[3].split("; ")) {
          var field = pair.split(": ", 2);
          request.header(field[0], field[1]);
        }
      }
      var client = cells[5].equals("follow") ? following : plain;
      HttpResponse<byte[]> answer =
          client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
      if (!answer.version().name().equals(args[1])) {
        throw new IllegalStateException("it speaks " + answer.version());
      }
      var fields = new TreeSet<String>();
      answer.headers().map().forEach((name, values) -> {
        var lower = name.toLowerCase();
        if (SHOWN.contains(lower) || lower.startsWith("x-own")) {
          values.forEach(value -> fields.add(lower + "=" + value.replace(args[2], "//ORIGIN")));
        }
      });
      var digest = MessageDigest.getInstance("SHA-256").digest(answer.body());
      var hex = HexFormat.of().formatHex(digest).substring(0, 16);
      System.out.printf("%s: %d %s %d %s%n", cells[0], answer.statusCode(), fields,
          answer.body().length, hex);
    }
  }
}
