"""What people do with SQLAlchemy who may only read. One line per check."""

import os

import sqlalchemy as sa
from sqlalchemy import func, select, text
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session, aliased, joinedload, selectinload, subqueryload


def say(name, run):
    try:
        print(f"{name}:", repr(run()), flush=True)
    except sa.exc.SQLAlchemyError as error:
        print(f"{name}:", str(error).splitlines()[0], flush=True)


def engine():
    url = sa.URL.create("postgresql+psycopg", os.environ["PGUSER"], os.environ["PGPASSWORD"],
                        os.environ["PGHOST"], int(os.environ["PGPORT"]), os.environ["PGDATABASE"])
    return sa.create_engine(url, pool_size=2, pool_pre_ping=True)


def reflection(engine):
    inspector = sa.inspect(engine)
    say("schemas", lambda: sorted(inspector.get_schema_names()))
    say("tables", lambda: sorted(inspector.get_table_names()))
    say("sorted tables", lambda: inspector.get_sorted_table_and_fkc_names())
    say("views", lambda: sorted(inspector.get_view_names()))
    say("materialized", lambda: inspector.get_materialized_view_names())
    say("definition", lambda: inspector.get_view_definition("open_orders"))
    say("sequences", lambda: sorted(inspector.get_sequence_names()))
    say("temporary", lambda: inspector.get_temp_table_names())
    say("enums", lambda: inspector.get_enums())
    say("domains", lambda: inspector.get_domains())
    say("has", lambda: (inspector.has_table("orders"), inspector.has_table("nothing"),
                        inspector.has_sequence("numbers"), inspector.has_schema("public")))
    for table in ["customers", "orders", "lines", "events"]:
        say(f"{table} columns", lambda: [
            (c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)])
        say(f"{table} key", lambda: inspector.get_pk_constraint(table))
        say(f"{table} foreign keys", lambda: inspector.get_foreign_keys(table))
        say(f"{table} indexes", lambda: inspector.get_indexes(table))
        say(f"{table} unique", lambda: inspector.get_unique_constraints(table))
        say(f"{table} checks", lambda: inspector.get_check_constraints(table))
        say(f"{table} comment", lambda: inspector.get_table_comment(table))
        say(f"{table} options", lambda: inspector.get_table_options(table))
    meta = sa.MetaData()
    say("reflect", lambda: meta.reflect(engine, views=True))
    say("reflected", lambda: sorted(meta.tables))


def core(engine, t):
    orders, customers = t["orders"], t["customers"]
    with engine.connect() as conn:
        rows = lambda query, *more: [tuple(row) for row in conn.execute(query, *more)]
        say("where", lambda: rows(select(orders.c.id).where(orders.c.total > 290).order_by("id")))
        say("join", lambda: rows(
            select(customers.c.name, func.count(orders.c.id)).join(orders)
            .group_by(customers.c.name).having(func.count(orders.c.id) > 1)
            .order_by(customers.c.name).limit(3)))
        say("in", lambda: rows(select(orders.c.status).where(orders.c.id.in_([1, 2, 3]))))
        say("case", lambda: rows(select(sa.case((orders.c.total > 10, "much"), else_="little"))
                                 .order_by(orders.c.id).limit(2)))
        say("window", lambda: rows(select(orders.c.id, func.row_number().over(
            partition_by=orders.c.status, order_by=orders.c.id)).order_by(orders.c.id).limit(3)))
        say("cte", lambda: rows(select(
            select(orders.c.id).where(orders.c.status == "open").cte("x").c.id).limit(2)))
        say("exists", lambda: rows(select(sa.exists().where(orders.c.status == "open"))))
        say("union", lambda: rows(sa.union_all(select(sa.literal(1)), select(sa.literal(2)))))
        say("json", lambda: rows(select(customers.c.data["n"].as_string()).limit(1)))
        say("array", lambda: rows(select(customers.c.tags.any("a")).limit(1)))
        say("cast", lambda: rows(select(sa.cast(orders.c.total, sa.Integer)).limit(1)))
        say("extract", lambda: rows(select(sa.extract("year", orders.c.at)).limit(1)))
        say("lateral", lambda: rows(select(customers.c.id, sa.lateral(
            select(func.max(orders.c.total).label("m"))
            .where(orders.c.customer_id == customers.c.id)).c.m).order_by("id").limit(2)))
        say("text", lambda: rows(text("select status from orders where id = :id"), {"id": 3}))
        say("scalar", lambda: conn.scalar(select(func.count()).select_from(orders)))
        say("stream", lambda: [r.id for r in conn.execution_options(
            stream_results=True, max_row_buffer=10).execute(select(orders.c.id).limit(30))][-1])
        say("isolation", lambda: conn.get_isolation_level())
        say("error", lambda: conn.execute(text("select 1/0")))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        say("autocommit", lambda: conn.scalar(text("select 5")))
    with engine.connect().execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True) as conn:
        say("read only", lambda: conn.scalar(text("show transaction_read_only")))
    with engine.begin() as conn:
        try:
            with conn.begin_nested():
                conn.execute(text("select nothing"))
        except sa.exc.ProgrammingError:
            pass
        say("savepoint", lambda: conn.scalar(select(func.count()).select_from(orders)))


def orm(engine):
    base = automap_base()
    base.prepare(autoload_with=engine)
    customer, order = base.classes.customers, base.classes.orders
    with Session(engine) as session:
        say("get", lambda: session.get(order, 7).status)
        say("lazy", lambda: session.get(order, 7).customers.name)
        for name, load in [("joined", joinedload), ("selectin", selectinload),
                           ("subquery", subqueryload)]:
            session.expire_all()
            say(name, lambda: [len(c.orders_collection) for c in session.scalars(
                select(customer).options(load(customer.orders_collection))
                .order_by(customer.id).limit(3)).unique()])
        other = aliased(order)
        say("aliased", lambda: session.scalar(
            select(func.count()).select_from(order).join(
                other, other.customer_id == order.customer_id)))
        say("filter", lambda: [o.id for o in session.scalars(
            select(order).where(order.status.ilike("OP%"), order.total.between(1, 20))
            .order_by(order.at.desc().nulls_last()).offset(1).limit(3))])
        say("yield", lambda: sum(1 for _ in session.scalars(
            select(order).execution_options(yield_per=50))))
        say("rollback", lambda: session.rollback())


def main():
    at = engine()
    meta = sa.MetaData()
    reflection(at)
    meta.reflect(at)
    core(at, meta.tables)
    orm(at)
    at.dispose()


main()
