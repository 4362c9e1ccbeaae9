// What people do with JDBC who may only read: queries, and all that tools ask of DatabaseMetaData.
// One line per check. Run as one file: java -cp postgresql.jar OrdinaryJdbc.java

import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

public class OrdinaryJdbc {
  interface Check {
    Object run() throws Exception;
  }

  static void say(String name, Check check) throws Exception {
    Object found;
    try {
      found = check.run();
    } catch (SQLException error) {
      found = error.getSQLState() + " " + error.getMessage().replace('\n', '|');
    }
    System.out.println(name + ": " + found);
  }

  /** Rows as texts. The name of the catalog, which is the database's, differs through weir. */
  static List<List<String>> rows(ResultSet set) throws SQLException {
    ResultSetMetaData meta = set.getMetaData();
    List<List<String>> rows = new ArrayList<>();
    while (set.next()) {
      List<String> row = new ArrayList<>();
      for (int i = 1; i <= meta.getColumnCount(); i++) {
        boolean isCatalog = meta.getColumnName(i).toUpperCase().endsWith("_CAT");
        row.add(isCatalog ? "" : set.getString(i));
      }
      rows.add(row);
    }
    set.close();
    return rows;
  }

  static void metadata(Connection db) throws Exception {
    DatabaseMetaData meta = db.getMetaData();
    say("product", () -> meta.getDatabaseProductName() + meta.getDatabaseMajorVersion());
    say("keywords", () -> meta.getSQLKeywords().length() > 9);
    say("schemas", () -> rows(meta.getSchemas()));
    say("table types", () -> rows(meta.getTableTypes()));
    say("types", () -> rows(meta.getTypeInfo()).size() > 99);
    say("tables", () -> rows(meta.getTables(null, "public", "%", null)));
    say("views", () -> rows(meta.getTables(null, null, "%", new String[] {"VIEW"})).size() > 9);
    for (String table : new String[] {"customers", "orders", "lines", "events", "open_orders"}) {
      say(table + " columns", () -> rows(meta.getColumns(null, "public", table, "%")));
      say(table + " key", () -> rows(meta.getPrimaryKeys(null, "public", table)));
      say(table + " imports", () -> rows(meta.getImportedKeys(null, "public", table)));
      say(table + " exports", () -> rows(meta.getExportedKeys(null, "public", table)));
      say(table + " indexes", () -> rows(meta.getIndexInfo(null, "public", table, false, true)));
      say(table + " rights", () -> rows(meta.getTablePrivileges(null, "public", table)).size());
      say(table + " row", () -> rows(meta.getBestRowIdentifier(
          null, "public", table, DatabaseMetaData.bestRowSession, true)));
      say(table + " versions", () -> rows(meta.getVersionColumns(null, "public", table)));
    }
    say("references", () -> rows(
        meta.getCrossReference(null, "public", "customers", null, "public", "orders")));
    say("column rights", () -> rows(
        meta.getColumnPrivileges(null, "public", "orders", "status")).size());
    say("functions", () -> rows(meta.getFunctions(null, "public", "%")));
    say("arguments", () -> rows(meta.getFunctionColumns(null, "public", "total_of", "%")));
    say("procedures", () -> rows(meta.getProcedures(null, "public", "%")).size());
    say("types of users", () -> rows(meta.getUDTs(null, "public", "%", null)));
    say("client info", () -> rows(meta.getClientInfoProperties()).size());
    say("limits", () -> meta.getMaxColumnNameLength() + " " + meta.getMaxColumnsInIndex());
  }

  static void queries(Connection db) throws Exception {
    String one = "select id, status, total, at from orders where id = ?";
    try (PreparedStatement query = db.prepareStatement(one)) {
      // The fifth execution is that of a statement with a name.
      for (int id = 1; id < 9; id++) {
        query.setLong(1, id);
        say("prepared", () -> rows(query.executeQuery()));
      }
      say("parameters", () -> query.getParameterMetaData().getParameterTypeName(1));
      say("columns", () -> query.getMetaData().getColumnTypeName(2));
    }
  }

  static void others(Connection db) throws Exception {
    try (Statement query = db.createStatement()) {
      say("simple", () -> rows(query.executeQuery("select count(*), sum(total) from orders")));
      say("escapes", () -> rows(query.executeQuery(
          "select {fn lcase('A')}, {d '2024-01-01'}, {fn concat(status, 'x')} from orders limit 1")));
      say("array", () -> rows(query.executeQuery("select tags, data from customers where id = 1")));
      say("enum", () -> rows(query.executeQuery("select feels from customers limit 1")));
      say("error", () -> rows(query.executeQuery("select 1 / 0")));
      say("no column", () -> rows(query.executeQuery("select nothing from orders")));
    }
    try (PreparedStatement query = db.prepareStatement(
        "select id from orders where id = any (?) and at > ? order by id")) {
      query.setArray(1, db.createArrayOf("bigint", new Object[] {3L, 1L}));
      query.setObject(2, LocalDate.of(2020, 1, 1));
      say("any", () -> rows(query.executeQuery()));
    }
    db.setAutoCommit(false);
    db.setReadOnly(true);
    db.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
    try (Statement query = db.createStatement(
        ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY)) {
      query.setFetchSize(7);
      say("fetched", () -> rows(query.executeQuery("select id from orders order by id")).size());
      Savepoint place = db.setSavepoint();
      say("failed", () -> rows(query.executeQuery("select nothing")));
      db.rollback(place);
      say("after", () -> rows(query.executeQuery("select 1")));
    }
    db.commit();
    db.setAutoCommit(true);
    say("valid", () -> db.isValid(5));
    say("schema", () -> db.getSchema());
  }

  public static void main(String[] arguments) throws Exception {
    Properties properties = new Properties();
    properties.setProperty("user", System.getenv("PGUSER"));
    properties.setProperty("password", System.getenv("PGPASSWORD"));
    properties.setProperty("sslmode", "disable");
    properties.setProperty("gssEncMode", "disable");
    String place = System.getenv("PGHOST") + ":" + System.getenv("PGPORT");
    String url = "jdbc:postgresql://" + place + "/" + System.getenv("PGDATABASE");
    try (Connection db = DriverManager.getConnection(url, properties)) {
      metadata(db);
      queries(db);
      others(db);
    }
  }
}
