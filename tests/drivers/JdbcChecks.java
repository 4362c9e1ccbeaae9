// JDBC against whatever PGHOST, PGPORT, ... name. One line per check. Run as one file: java -cp
// postgresql.jar JdbcChecks.java

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

public class JdbcChecks {
  interface Check {
    Object run() throws Exception;
  }

  static void say(String name, Check check) throws Exception {
    Object found;
    try {
      found = check.run();
    } catch (BatchUpdateException error) {
      found = error.getSQLState() + " " + Arrays.toString(error.getUpdateCounts());
    } catch (SQLException error) {
      found = error.getSQLState() + " " + error.getMessage().replace('\n', '|');
    }
    System.out.println(name + ": " + found);
  }

  static Connection connect(String... more) throws SQLException {
    Properties properties = new Properties();
    properties.setProperty("user", System.getenv("PGUSER"));
    properties.setProperty("password", System.getenv("PGPASSWORD"));
    properties.setProperty("sslmode", System.getenv("PGSSLMODE"));
    properties.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
    properties.setProperty("gssEncMode", "disable");
    for (int i = 0; i < more.length; i += 2) {
      properties.setProperty(more[i], more[i + 1]);
    }
    String place = System.getenv("PGHOST") + ":" + System.getenv("PGPORT");
    String url = "jdbc:postgresql://" + place + "/" + System.getenv("PGDATABASE");
    return DriverManager.getConnection(url, properties);
  }

  static String digest(byte[] data) throws Exception {
    StringBuilder text = new StringBuilder(data.length + " ");
    for (byte b : MessageDigest.getInstance("MD5").digest(data)) {
      text.append(String.format("%02x", b));
    }
    return text.toString();
  }

  static List<String> rows(ResultSet set) throws SQLException {
    List<String> rows = new ArrayList<>();
    int columns = set.getMetaData().getColumnCount();
    while (set.next()) {
      List<String> row = new ArrayList<>();
      for (int i = 1; i <= columns; i++) {
        row.add(set.getString(i));
      }
      rows.add(row.toString());
    }
    return rows;
  }

  static List<String> query(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      return rows(statement.executeQuery(sql));
    }
  }

  static void execute(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  public static void main(String[] arguments) throws Exception {
    try (Connection connection = connect()) {
      queries(connection);
      prepared(connection);
      transactions(connection);
      copies(connection);
      largeObjects(connection);
      cancel(connection);
    }
    for (String mode : new String[] {"simple", "extended", "extendedForPrepared"}) {
      try (Connection connection = connect("preferQueryMode", mode, "prepareThreshold", "1")) {
        say("mode-" + mode, () -> many(connection, 30));
      }
    }
    try (Connection connection = connect("binaryTransfer", "true", "prepareThreshold", "-1")) {
      say("binary-forced", () -> many(connection, 5));
      denied(connection);
    }
  }

  static void queries(Connection connection) throws Exception {
    say("version", () -> connection.getMetaData().getDatabaseProductVersion());
    say("several", () -> {
      List<String> all = new ArrayList<>();
      try (Statement statement = connection.createStatement()) {
        statement.execute("SELECT 1; SELECT 'two'; SELECT 3, 4");
        do {
          all.addAll(rows(statement.getResultSet()));
        } while (statement.getMoreResults());
      }
      return all;
    });
    execute(connection, "CREATE TEMP TABLE jdbc (id serial PRIMARY KEY, name text, n numeric,"
        + " data bytea, at timestamptz)");
    say("generated-keys", () -> {
      String sql = "INSERT INTO jdbc (name, n) VALUES ('a', 1.5), ('b', NULL)";
      try (Statement statement = connection.createStatement()) {
        int count = statement.executeUpdate(sql, Statement.RETURN_GENERATED_KEYS);
        return count + " " + rows(statement.getGeneratedKeys());
      }
    });
    say("columns", () -> rows(connection.getMetaData().getColumns(null, null, "jdbc", "n%"))
        .stream().map(row -> row.contains("numeric") ? "numeric" : "text").toList());
    say("notices", () -> {
      try (Statement statement = connection.createStatement()) {
        statement.execute("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$");
        List<String> heard = new ArrayList<>();
        for (SQLWarning w = statement.getWarnings(); w != null; w = w.getNextWarning()) {
          heard.add(w.getSQLState() + " " + w.getMessage());
        }
        return heard;
      }
    });
    say("error", () -> query(connection, "SELECT 1/0"));
    say("after-error", () -> query(connection, "SELECT 1"));
    say("big", () -> {
      try (PreparedStatement statement = connection.prepareStatement("SELECT ?::text")) {
        statement.setString(1, "0123456789abcdef".repeat(200_000));
        ResultSet set = statement.executeQuery();
        set.next();
        return digest(set.getString(1).getBytes(StandardCharsets.UTF_8));
      }
    });
    say("notify", () -> {
      execute(connection, "LISTEN channel_j");
      execute(connection, "SELECT pg_notify('channel_j', 'hello')");
      PGNotification[] heard = connection.unwrap(PGConnection.class).getNotifications(5000);
      return heard[0].getName() + " " + heard[0].getParameter();
    });
  }

  /** Beyond the fifth execution the driver prepares by name and takes binary results. */
  static Object many(Connection connection, int rounds) throws Exception {
    List<Object> found = new ArrayList<>();
    boolean simple = connection.unwrap(PGConnection.class).getPreferQueryMode().value()
        .equals("simple");
    String sql = "SELECT CAST(? AS int) * 2, CAST(? AS text), CAST(? AS numeric),"
        + " CAST(? AS bytea), '2026-01-02'::timestamp, ARRAY[1, NULL, 3]";
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int i = 0; i < rounds; i++) {
        statement.setInt(1, i);
        statement.setString(2, i % 3 == 0 ? null : "text " + i);
        statement.setBigDecimal(3, new BigDecimal(i + ".50"));
        if (simple) {
          // In this mode the driver writes bytes as no literal that a CAST takes.
          statement.setString(4, "\\x00ff");
        } else {
          statement.setBytes(4, new byte[] {0, (byte) 255, (byte) i});
        }
        ResultSet set = statement.executeQuery();
        set.next();
        found.add(set.getInt(1) + set.getString(2) + set.getBigDecimal(3)
            + Arrays.toString(set.getBytes(4)) + set.getTimestamp(5) + set.getArray(6));
      }
    }
    return digest(found.toString().getBytes(StandardCharsets.UTF_8));
  }

  static void prepared(Connection connection) throws Exception {
    say("prepared", () -> many(connection, 20));
    say("batch", () -> {
      String sql = "INSERT INTO jdbc (name, n) VALUES (?, ?)";
      try (PreparedStatement statement = connection.prepareStatement(sql)) {
        for (int i = 0; i < 500; i++) {
          statement.setString(1, "batch " + i);
          statement.setBigDecimal(2, new BigDecimal(i));
          statement.addBatch();
        }
        return Arrays.stream(statement.executeBatch()).sum();
      }
    });
    say("batch-error", () -> {
      try (Statement statement = connection.createStatement()) {
        statement.addBatch("INSERT INTO jdbc (id) VALUES (100000)");
        statement.addBatch("INSERT INTO jdbc (id) VALUES (100000)");
        statement.addBatch("INSERT INTO jdbc (id) VALUES (100001)");
        return Arrays.toString(statement.executeBatch());
      }
    });
    say("described", () -> {
      String sql = "SELECT id, name FROM jdbc WHERE n > ? AND name = ?";
      try (PreparedStatement statement = connection.prepareStatement(sql)) {
        return statement.getParameterMetaData().getParameterTypeName(1) + " "
            + statement.getMetaData().getColumnTypeName(2);
      }
    });
  }

  static void transactions(Connection connection) throws Exception {
    connection.setAutoCommit(false);
    say("portal", () -> {
      try (Statement statement = connection.createStatement()) {
        statement.setFetchSize(37);
        ResultSet set = statement.executeQuery("SELECT id FROM jdbc ORDER BY id");
        int sum = 0;
        while (set.next()) {
          sum += set.getInt(1);
        }
        return sum;
      }
    });
    say("savepoint", () -> {
      Savepoint point = connection.setSavepoint();
      try {
        query(connection, "SELECT no_such_function()");
      } catch (SQLException error) {
        connection.rollback(point);
        return error.getSQLState() + query(connection, "SELECT 'went on'");
      }
      return "no error";
    });
    say("aborted", () -> query(connection, "SELECT 1/0"));
    say("still-aborted", () -> query(connection, "SELECT 1"));
    connection.rollback();
    say("rolled-back", () -> query(connection, "SELECT 1"));
    connection.commit();
    connection.setAutoCommit(true);
  }

  static void copies(Connection connection) throws Exception {
    CopyManager manager = connection.unwrap(PGConnection.class).getCopyAPI();
    say("copy-in", () -> {
      StringBuilder rows = new StringBuilder();
      for (int i = 0; i < 20_000; i++) {
        rows.append("copied ").append(i).append("\t").append(i).append("\n");
      }
      String sql = "COPY jdbc (name, n) FROM STDIN";
      return manager.copyIn(sql, new StringReader(rows.toString()));
    });
    say("copy-in-error", () -> manager.copyIn("COPY jdbc (n) FROM STDIN",
        new StringReader("1\nnot a number\n" + "2\n".repeat(50_000))));
    say("copy-out", () -> {
      StringWriter out = new StringWriter();
      manager.copyOut("COPY (SELECT name, n FROM jdbc ORDER BY name, n) TO STDOUT", out);
      return digest(out.toString().getBytes(StandardCharsets.UTF_8));
    });
    say("copy-binary", () -> {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      String select = "SELECT name, n FROM jdbc WHERE n < 100 ORDER BY name, n";
      manager.copyOut("COPY (" + select + ") TO STDOUT (FORMAT binary)", out);
      execute(connection, "CREATE TEMP TABLE again (name text, n numeric)");
      ByteArrayInputStream in = new ByteArrayInputStream(out.toByteArray());
      long count = manager.copyIn("COPY again FROM STDIN (FORMAT binary)", in);
      return count + " " + digest(out.toByteArray());
    });
  }

  /** The driver reaches large objects by FunctionCall messages. */
  static void largeObjects(Connection connection) throws Exception {
    connection.setAutoCommit(false);
    LargeObjectManager manager = connection.unwrap(PGConnection.class).getLargeObjectAPI();
    byte[] data = new byte[3_000_000];
    for (int i = 0; i < data.length; i++) {
      data[i] = (byte) (i * 31);
    }
    say("large-object", () -> {
      long oid = manager.createLO(LargeObjectManager.READWRITE);
      try (LargeObject object = manager.open(oid, LargeObjectManager.WRITE)) {
        object.write(data);
      }
      String found;
      try (LargeObject object = manager.open(oid, LargeObjectManager.READ)) {
        object.seek(1_000_000);
        found = digest(object.read(1_000_000)) + " " + object.tell() + " " + object.size();
      }
      manager.delete(oid);
      return found;
    });
    say("large-object-missing", () -> {
      try {
        manager.open(4_000_000_000L, LargeObjectManager.READ);
        return "no error";
      } catch (SQLException error) {
        return error.getSQLState();
      }
    });
    connection.rollback();
    connection.setAutoCommit(true);
    say("after-large-objects", () -> query(connection, "SELECT 1"));
  }

  static void cancel(Connection connection) throws Exception {
    say("cancel", () -> {
      try (Statement statement = connection.createStatement()) {
        Thread later = new Thread(() -> {
          try {
            Thread.sleep(700);
            statement.cancel();
          } catch (Exception error) {
            System.out.println("cancel failed: " + error);
          }
        });
        later.start();
        try {
          return rows(statement.executeQuery("SELECT pg_sleep(60)"));
        } finally {
          later.join();
        }
      }
    });
    say("after-cancel", () -> query(connection, "SELECT 1"));
  }

  static void denied(Connection connection) throws Exception {
    String denied = System.getenv("WEIR_DENIED");
    if (denied == null) {
      return;
    }
    String state = "no error";
    try {
      execute(connection, denied);
    } catch (SQLException error) {
      state = error.getSQLState();
    }
    System.out.println("denied: " + state + query(connection, "SELECT 1"));
  }
}
