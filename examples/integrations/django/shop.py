"""Places orders: a row of the application and a signed event of the ledger, in one
transaction. Connection by libpq's variables, the key by ETS_KEY (PKCS #8 PEM).

    python3 shop.py place|fail|again ORDER CENTS
"""

import hashlib
import os
import sys
import uuid

import django
import rfc8785
from cryptography.hazmat.primitives import serialization
from django.conf import settings
from django.db import Error, connection, models, transaction

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "USER": os.environ["PGUSER"],
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
        }
    }
)
django.setup()


class Placed(models.Model):
    request_id = models.UUIDField(primary_key=True)
    order_id = models.TextField()
    cents = models.BigIntegerField()
    event_id = models.UUIDField()

    class Meta:
        app_label = "shop"
        db_table = 'shop"."placed'
        managed = False


with open(os.environ["ETS_KEY"], "rb") as file:
    key = serialization.load_pem_private_key(file.read(), password=None)
public_key = key.public_key().public_bytes_raw()


def append(payload, schema_version):
    """Signs an event onto the head of its stream and appends it, in the transaction
    that is open; answers its id. SHA-256 over the canonical payload (RFC 8785) and the hash before
    is what is signed; the server computes the same and verifies."""
    canonical = rfc8785.dumps(payload)
    with connection.cursor() as cursor:
        cursor.execute("SELECT head_hash FROM ets.head('orders', %s)", [payload["order"]])
        previous = bytes(cursor.fetchone()[0])
        signature = key.sign(hashlib.sha256(canonical + previous).digest())
        cursor.execute(
            "SELECT event_id FROM ets.append(%s::jsonb, %s, %s, %s, %s)",
            [canonical.decode(), schema_version, public_key, previous, signature],
        )
        return cursor.fetchone()[0]


def place(request_id, order, cents, fails=False):
    """The whole transaction again where another event was faster (ET005) or
    PostgreSQL asks for it. Who asks again after a lost answer does so with the same
    request, finds the application's row, and with it the event."""
    while True:
        try:
            with transaction.atomic():
                placed = Placed.objects.filter(request_id=request_id).first()
                if placed is None:
                    # With the request in it: two orders that are alike but for it are two events.
                    payload = {"request": str(request_id), "order": order, "cents": cents}
                    event_id = append(payload, "order/1.0.0")
                    placed = Placed.objects.create(
                        request_id=request_id, order_id=order, cents=cents, event_id=event_id
                    )
                if fails:
                    raise RuntimeError("out of stock")
                return placed.event_id
        except Error as error:
            if getattr(error.__cause__, "sqlstate", None) not in ("ET005", "40001", "40P01"):
                raise


if __name__ == "__main__":
    command, order, cents = sys.argv[1:]
    request_id = uuid.uuid4()
    for _ in range(2 if command == "again" else 1):  # twice, as after a lost answer
        print(place(request_id, order, int(cents), fails=command == "fail"))
