// The server of exchanges.tsv once more, for Tomcat (package libtomcat10-embed-java).
//
//   java -cp CLASSES Told.java PORT LOG
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.ByteArrayOutputStream;
import java.io.FileWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.security.MessageDigest;
import java.util.Collections;
import java.util.HexFormat;
import java.util.TreeMap;
import java.util.zip.GZIPOutputStream;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;

public final class Told extends HttpServlet {
    private static int port;
    private static String log;

    public static void main(String[] arguments) throws Exception {
        port = Integer.parseInt(arguments[0]);
        log = arguments[1];
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("tomcat").toString());
        Connector connector = new Connector();
        connector.setPort(port);
        connector.setProperty("address", "127.0.0.1");
        connector.setProperty("keepAliveTimeout", "60000");
        tomcat.setConnector(connector);
        var context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "told", new Told());
        context.addServletMappingDecoded("/*", "told");
        tomcat.start();
        tomcat.getServer().await();
    }

    private static String quoted(String text) {
        return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    }

    private static synchronized void noted(String line) throws IOException {
        try (FileWriter file = new FileWriter(log, true)) {
            file.write(line + "\n");
        }
    }

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (java.security.NoSuchAlgorithmException error) {
            throw new IOException(error);
        }
        long length = 0;
        byte[] part = new byte[65536];
        for (int read; (read = request.getInputStream().read(part)) >= 0; length += read) {
            digest.update(part, 0, read);
        }
        String hex = HexFormat.of().formatHex(digest.digest());
        String query = request.getQueryString();
        String url = request.getRequestURI() + (query == null ? "" : "?" + query);
        String asked = "\"method\": " + quoted(request.getMethod()) + ", \"url\": " + quoted(url)
            + ", \"length\": " + length;
        String host = request.getHeader("host");
        noted("{" + asked + ", \"digest\": " + quoted(hex) + ", \"host\": " + quoted(host) + "}");
        String[] place = request.getRequestURI().split("/", 3);
        String argument = place.length > 2 ? place[2] : "";
        if (!answer(place.length > 1 ? place[1] : "", argument, response)) {
            response.setContentType("application/json");
            response.getOutputStream().write(
                ("{" + asked + ", \"own\": " + own(request) + ", \"digest\": "
                    + quoted(hex.substring(0, 16)) + "}").getBytes(StandardCharsets.UTF_8));
        }
    }

    private static String own(HttpServletRequest request) {
        TreeMap<String, String> shown = new TreeMap<>();
        for (String name : Collections.list(request.getHeaderNames())) {
            String lower = name.toLowerCase(java.util.Locale.ROOT);
            if (lower.startsWith("x-own") || lower.matches(
                    "content-type|cookie|range|if-none-match")) {
                shown.put(lower, request.getHeader(name));
            }
        }
        StringBuilder all = new StringBuilder("{");
        shown.forEach((name, value) -> all.append(all.length() > 1 ? ", " : "")
            .append(quoted(name)).append(": ").append(quoted(value)));
        return all.append("}").toString();
    }

    private static void pieces(OutputStream out, int count, int size, int pauseMs)
            throws IOException {
        for (int at = 0; at < count; at++) {
            byte[] piece = new byte[size];
            java.util.Arrays.fill(piece, (byte) at);
            out.write(piece);
            paced(out, pauseMs);
        }
    }

    private static void paced(OutputStream out, int pauseMs) throws IOException {
        if (pauseMs > 0) {
            out.flush();
            try {
                Thread.sleep(pauseMs);
            } catch (InterruptedException error) {
                throw new IOException(error);
            }
        }
    }

    private static boolean answer(String kind, String argument, HttpServletResponse response)
            throws IOException {
        OutputStream out = response.getOutputStream();
        switch (kind) {
            case "status" -> {
                response.setStatus(Integer.parseInt(argument));
                if (argument.equals("429")) response.setHeader("Retry-After", "7");
                if (!argument.matches("204|304")) out.write(("status " + argument).getBytes());
            }
            case "moved" -> {
                response.setStatus(Integer.parseInt(argument));
                response.setHeader("Location", "/told/there");
                out.write("elsewhere".getBytes());
            }
            // Tomcat makes a whole address of what it is told.
            case "away" -> response.sendRedirect("http://localhost:" + port + "/told/away?a=b#c");
            case "gzip" -> {
                response.setContentType("text/plain");
                response.setHeader("Content-Encoding", "gzip");
                ByteArrayOutputStream packed = new ByteArrayOutputStream();
                try (GZIPOutputStream gzip = new GZIPOutputStream(packed)) {
                    gzip.write("the same words again and again; ".repeat(100).getBytes());
                }
                out.write(packed.toByteArray());
            }
            case "pieces" -> pieces(out, Integer.parseInt(argument), 3, 10);
            case "large" -> pieces(out, Integer.parseInt(argument) * 16, 65536, 0);
            case "sized" -> {
                int size = Integer.parseInt(argument) << 20;
                response.setContentLength(size);
                out.write(new byte[size]);
            }
            case "range" -> {
                response.setStatus(206);
                response.setHeader("Content-Range", "bytes 2-5/10");
                out.write("cdef".getBytes());
            }
            case "cookies" -> {
                response.addHeader("Set-Cookie", "a=1; Path=/; HttpOnly");
                response.addHeader("Set-Cookie", "b=\"two, three\"; Max-Age=60");
            }
            case "fields" -> {
                for (int at = 0; at < Integer.parseInt(argument); at++) {
                    response.setHeader("X-Own-" + at, "value " + at);
                }
            }
            case "kept" -> {
                response.setHeader("ETag", "\"v1\"");
                response.setHeader("Vary", "accept");
                response.setHeader("Last-Modified", "Sat, 28 Nov 2026 10:00:00 GMT");
                out.write("kept".getBytes());
            }
            case "nothing" -> out.close();
            case "closes" -> {
                response.setHeader("Connection", "close");
                out.write("the last one".getBytes());
            }
            case "events" -> {
                response.setContentType("text/event-stream");
                for (int at = 0; at < 5; at++) {
                    out.write(("id: " + at + "\nevent: tick\ndata: " + at + "\n\n").getBytes());
                    paced(out, 20);
                }
            }
            default -> {
                return false;
            }
        }
        return true;
    }
}
