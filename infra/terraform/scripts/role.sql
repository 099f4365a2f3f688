-- The service's role in the database. Run by scripts/create_role, as an administrator, against the
-- database `gridos`; running it again changes nothing.
--
--   role  the name that the service connects as: its identity's
--   oid   that identity's object id in Entra; Azure maps a token's owner to the role by it
--
-- It owns what its migrations make and nothing else: it can neither make databases or roles, nor
-- read what others own, nor connect elsewhere.

\set ON_ERROR_STOP on

-- Azure's own function, in each flexible server with Entra logins: no administrator, no MFA.
SELECT pgaadauth_create_principal_with_oid(:'role', :'oid', 'service', false, false)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role');

BEGIN;

-- By default every role may connect to every database.
REVOKE ALL ON DATABASE gridos FROM PUBLIC;
GRANT CONNECT ON DATABASE gridos TO :"role";

-- `gridos migrate` makes its tables here and owns them.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO :"role";

-- A pod that hangs must not hold the rest up; a request of the service takes a fraction of this. A
-- migration that needs longer says so itself.
ALTER ROLE :"role" IN DATABASE gridos SET statement_timeout = '30s';
ALTER ROLE :"role" IN DATABASE gridos SET idle_in_transaction_session_timeout = '10s';

COMMIT;
