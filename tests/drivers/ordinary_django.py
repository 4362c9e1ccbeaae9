"""What people do with Django: reading, and with `writes` all the rest. One line per check."""

import io
import os
import sys

import django
from django.apps import AppConfig
from django.conf import settings


class Shop(AppConfig):
    """What the models below belong to: they know of each other in an app only."""

    name, label, path = "__main__", "shop", os.path.dirname(os.path.abspath(__file__))


settings.configure(
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "PASSWORD": os.environ["PGPASSWORD"],
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "__main__.Shop"],
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.db.models import (  # noqa: E402
    Avg, Case, Count, Exists, F, OuterRef, Prefetch, Q, Subquery, Sum, Value, When, Window)
from django.db.models.functions import (  # noqa: E402
    Cast, Coalesce, Concat, ExtractYear, Lower, Now, RowNumber, TruncMonth)
from django.db.utils import DatabaseError  # noqa: E402


class Customer(models.Model):
    name = models.TextField()
    email = models.TextField(null=True)
    ssn = models.TextField(null=True)
    born = models.DateField(null=True)
    data = models.JSONField(default=dict)

    class Meta:
        app_label, db_table, managed = "shop", "customers", False


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    status = models.CharField(max_length=20, default="open")
    total = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label, db_table, managed = "shop", "orders", False


def say(name, run):
    try:
        print(f"{name}:", repr(run()), flush=True)
    except DatabaseError as error:
        print(f"{name}:", type(error).__name__, str(error).splitlines()[0], flush=True)


def reads():
    orders, customers = Order.objects.order_by("id"), Customer.objects.order_by("id")
    say("get", lambda: orders.get(pk=7).status)
    say("filter", lambda: list(orders.filter(total__gt=290, status="open").values_list("id")))
    say("exclude", lambda: orders.exclude(status__in=["open", "paid"]).count())
    say("q", lambda: list(orders.filter(Q(id__lt=3) | Q(id=9)).values_list("id", flat=True)))
    say("exists", lambda: orders.filter(status="nothing").exists())
    say("first", lambda: (orders.first().id, orders.last().id, orders.latest("at").id))
    say("related", lambda: [o.customer.name for o in orders.select_related("customer")[:3]])
    say("prefetch", lambda: [len(c.orders.all()) for c in customers.prefetch_related(
        Prefetch("orders", Order.objects.filter(status="open")))[:3]])
    say("annotate", lambda: list(customers.annotate(
        n=Count("orders"), sum=Sum("orders__total")).values_list("id", "n", "sum")[:3]))
    say("aggregate", lambda: orders.aggregate(Avg("total"), Count("customer", distinct=True)))
    say("group", lambda: list(Order.objects.values("status").annotate(n=Count("id"))
                              .order_by("status")))
    say("subquery", lambda: list(customers.annotate(newest=Subquery(
        Order.objects.filter(customer=OuterRef("pk")).order_by("-at").values("id")[:1]))
        .values_list("id", "newest")[:3]))
    say("exists subquery", lambda: customers.filter(Exists(
        Order.objects.filter(customer=OuterRef("pk"), status="open"))).count())
    say("window", lambda: list(orders.annotate(n=Window(
        RowNumber(), partition_by=[F("status")], order_by=F("id").asc()))
        .values_list("id", "n")[:3]))
    say("case", lambda: list(orders.annotate(size=Case(
        When(total__gt=10, then=Value("much")), default=Value("little")))
        .values_list("size", flat=True)[:8]))
    say("functions", lambda: list(orders.annotate(
        low=Lower("status"), month=TruncMonth("at"), year=ExtractYear("at"),
        either=Coalesce("total", Value(0), output_field=models.DecimalField()),
        both=Concat("status", Value("-"), Cast("id", models.TextField()),
                    output_field=models.TextField()))
        .values_list("low", "month", "year", "either", "both")[:2]))
    say("text", lambda: (orders.filter(status__icontains="OPE").count(),
                         orders.filter(status__regex="^o").count(),
                         orders.filter(status__istartswith="O").count()))
    say("dates", lambda: (orders.filter(at__date="2024-01-02").count(),
                          orders.filter(at__year=2024).count(), orders.filter(at__lt=Now()).count(),
                          list(Order.objects.dates("at", "month"))))
    say("json", lambda: list(customers.filter(data__n__gt=18).values_list("data__n", flat=True)))
    say("union", lambda: len(orders.filter(id=1).union(orders.filter(id=2))))
    say("iterator", lambda: sum(1 for _ in orders.iterator(chunk_size=50)))
    say("in bulk", lambda: sorted(orders.in_bulk([1, 2, 3])))
    say("raw", lambda: [o.id for o in Order.objects.raw(
        "select * from orders where id < %s order by id", [3])])
    say("explain", lambda: orders.filter(id=1).explain().splitlines()[0][:5])
    say("only", lambda: [o.status for o in orders.only("status")[:2]])
    say("distinct", lambda: list(Order.objects.order_by("status").distinct("status")
                                 .values_list("status", flat=True)))


def transactions():
    def nested():
        with transaction.atomic():
            try:
                with transaction.atomic():
                    Order.objects.extra(where=["nothing = 1"]).count()
            except DatabaseError:
                pass
            return Order.objects.count()

    def rolled_back():
        with transaction.atomic():
            found = Order.objects.count()
            transaction.set_rollback(True)
            return found

    say("atomic", nested)
    say("rollback", rolled_back)


def introspection():
    def inspected(table):
        out = io.StringIO()
        call_command("inspectdb", table, stdout=out)
        return out.getvalue()

    looks = connection.introspection
    with connection.cursor() as cursor:
        say("tables", lambda: sorted(
            t.name for t in looks.get_table_list(cursor) if not t.name.startswith("pg_")))
        for table in ["customers", "orders", "lines"]:
            say(f"{table} description", lambda: [
                (c.name, c.null_ok) for c in looks.get_table_description(cursor, table)])
            say(f"{table} relations", lambda: looks.get_relations(cursor, table))
            say(f"{table} constraints", lambda: sorted(looks.get_constraints(cursor, table)))
            say(f"{table} sequences", lambda: looks.get_sequences(cursor, table))
            say(f"{table} key", lambda: looks.get_primary_key_column(cursor, table))
    for table in ["customers", "orders", "lines"]:
        say(f"inspectdb {table}", lambda: inspected(table))
    say("version", lambda: connection.pg_version // 10000)
    say("usable", lambda: connection.is_usable())


def writes():
    with transaction.atomic():
        customer = Customer.objects.create(name="New", email="new@example.com")
        say("create", lambda: Order.objects.create(customer=customer, total=5).status)
        say("bulk", lambda: len(Order.objects.bulk_create(
            [Order(customer=customer, total=n) for n in range(50)], batch_size=20)))
        say("update", lambda: Order.objects.filter(customer=customer).update(
            total=F("total") + 1, status="paid"))
        say("save", lambda: customer.save(update_fields=["name"]))
        say("get or create", lambda: Customer.objects.get_or_create(name="Newest")[1])
        say("update or create", lambda: Customer.objects.update_or_create(
            name="Newest", defaults={"born": "2000-01-01"})[1])
        say("locked", lambda: Order.objects.select_for_update(skip_locked=True).filter(
            customer=customer).count())
        say("bulk update", lambda: Order.objects.bulk_update(
            Order.objects.filter(customer=customer)[:5], ["status"]))
        say("delete", lambda: customer.delete())
        transaction.set_rollback(True)
    say("migrate", lambda: call_command("migrate", verbosity=0))
    say("plan", lambda: call_command("migrate", plan=True, verbosity=0))
    with connection.schema_editor() as editor:
        for table in reversed(connection.introspection.django_table_names(only_existing=True)):
            editor.execute(f'drop table "{table}" cascade')
        editor.execute("drop table django_migrations")


def main():
    reads()
    transactions()
    introspection()
    if "writes" in sys.argv:
        writes()


main()
