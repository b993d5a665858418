# Places orders: a row of the application and a signed event of the ledger, in one
# transaction. Connection by libpq's variables, the key by ETS_KEY (PKCS #8 PEM).
#
#   ruby shop.rb place|fail|again ORDER CENTS
require "active_record"
require "digest"
require "ed25519"
require "json"
require "openssl"
require "securerandom"

ActiveRecord::Base.establish_connection(adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"],
                                        username: ENV["PGUSER"], database: ENV["PGDATABASE"])

class Placed < ActiveRecord::Base
  self.table_name = "shop.placed"
  self.primary_key = "request_id"
end

class Ledger
  RETRY = %w[ET005 40001 40P01].freeze

  # The last 32 bytes of a PKCS #8 Ed25519 key are its seed (RFC 8410).
  def initialize(path)
    pem = File.read(path).lines.reject { |line| line.start_with?("-----") }.join
    @key = Ed25519::SigningKey.new(pem.unpack1("m")[-32..])
  end

  # Signs an event onto the head of its stream and appends it, in the transaction
  # that is open; answers its id. What is signed is SHA-256 over the canonical payload (RFC 8785)
  # and the hash before. The server gives the canonical form; that it says the same
  # as the payload is checked before it is signed.
  def append(payload, schema_version)
    connection = ActiveRecord::Base.connection.raw_connection
    canonical = connection.exec_params("SELECT ets.canonicalize_text($1)", [payload.to_json]).getvalue(0, 0)
    raise "the server changed the payload" unless JSON.parse(canonical) == JSON.parse(payload.to_json)

    head = connection.exec_params("SELECT encode(head_hash, 'hex') FROM ets.head('orders', $1)", [payload[:order]])
    previous = [head.getvalue(0, 0)].pack("H*")
    signature = @key.sign(Digest::SHA256.digest(canonical.b + previous))
    bytes = ->(value) { { value: value, format: 1 } }
    connection.exec_params("SELECT event_id FROM ets.append($1::jsonb, $2, $3::bytea, $4::bytea, $5::bytea)",
                           [canonical, schema_version, bytes[@key.verify_key.to_bytes], bytes[previous], bytes[signature]]).getvalue(0, 0)
  end

  # The whole transaction again where another event was faster (ET005) or
  # PostgreSQL asks for it.
  def retrying
    ActiveRecord::Base.transaction { yield self }
  rescue PG::Error, ActiveRecord::StatementInvalid => e
    cause = e.is_a?(PG::Error) ? e : e.cause
    retry if cause.is_a?(PG::Error) && RETRY.include?(cause.result&.error_field(PG::PG_DIAG_SQLSTATE))
    raise
  end
end

# Who asks again after a lost answer does so with the same request, finds the
# application's row, and with it the event.
def place(ledger, request_id, order, cents, fails: false)
  ledger.retrying do
    placed = Placed.find_by(request_id: request_id)
    # With the request in it: two orders that are alike but for it are two events.
    payload = { request: request_id, order: order, cents: cents }
    placed ||= Placed.create!(request_id: request_id, order_id: order, cents: cents,
                              event_id: ledger.append(payload, "order/1.0.0"))
    raise "out of stock" if fails

    placed.event_id
  end
end

command, order, cents = ARGV
ledger = Ledger.new(ENV.fetch("ETS_KEY"))
request_id = SecureRandom.uuid
# Twice, as after a lost answer.
(command == "again" ? 2 : 1).times { puts place(ledger, request_id, order, cents.to_i, fails: command == "fail") }
