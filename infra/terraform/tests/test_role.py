"""The service's role, made by the very SQL that Azure gets, on a real PostgreSQL.

One thing of Azure's is not here: `pgaadauth_create_principal_with_oid`, which makes a role and ties
it to an Entra identity. A function of that name and signature stands in and makes the role only;
what the script grants, and that the service can live with it, is tried for real.
"""

import secrets
import shutil
import sys
from pathlib import Path

import psycopg
import pytest
import workspace
from psycopg import sql
from psycopg.conninfo import make_conninfo

from canary.runtime import database, processes

SCRIPT = workspace.SOURCE / "scripts" / "role.sql"
ROLE = "id-workload-gridos-dev-weu"
OBJECT_ID = "00000000-0000-4000-8000-00000000f001"
GRIDOS = Path(sys.executable).parent / "gridos"

STAND_IN = """
CREATE FUNCTION pgaadauth_create_principal_with_oid(
    role_name text, object_id text, object_type text, is_admin boolean, is_mfa boolean
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF object_type <> 'service' OR is_admin OR is_mfa THEN
        RAISE 'the service is no administrator and has no second factor';
    END IF;
    EXECUTE format('CREATE ROLE %I LOGIN', role_name);
    EXECUTE format('COMMENT ON ROLE %I IS %L', role_name, object_id);
    RETURN 'Created role for ' || role_name;
END $$
"""


def tell(url, *statements):
    """Executes statements, each by itself; returns the rows of the last, if it has any."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            done = connection.execute(statement)
        return done.fetchall() if done.description else []


@pytest.fixture(scope="module")
def administrator(database_url):
    """An address of the database `gridos`, made as Terraform makes it, as its administrator."""
    if tell(database_url, "SELECT 1 FROM pg_database WHERE datname = 'gridos'"):
        pytest.skip("REHEARSE_DATABASE_URL's server has a database gridos; give an empty one")
    tell(
        database_url,
        "CREATE DATABASE gridos ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    )
    url = make_conninfo(database_url, dbname="gridos")
    tell(url, STAND_IN, "CREATE TABLE secret (text text)")
    yield url
    drop_role = sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(ROLE))
    tell(database_url, "DROP DATABASE gridos WITH (FORCE)", drop_role)


@pytest.fixture(scope="module")
def service(administrator):
    """An address of the same database, as the role that the script makes."""
    make_role(administrator)
    password = secrets.token_hex(16)
    # Azure takes a token here; this server knows none.
    given = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(ROLE), sql.Literal(password))
    tell(administrator, given)
    return make_conninfo(administrator, user=ROLE, password=password)


def make_role(url):
    """Runs the script with psql, as scripts/create_role does."""
    command = [database.binary("psql"), "--quiet", "--no-psqlrc", "--dbname", url]
    command += ["--set", f"role={ROLE}", "--set", f"oid={OBJECT_ID}", "--file", SCRIPT]
    done = processes.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_service_migrates_seeds_and_reads_as_its_role(service):
    for command in ("migrate", "seed"):
        environment = {"GRIDOS_DATABASE_URL": service}
        done = processes.run([GRIDOS, command], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    assert tell(service, "SELECT count(*) FROM bus") == [(33,)]
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE tablename IN ('bus', 'reading')"
    assert tell(service, owners) == [(ROLE,)]


@pytest.mark.parametrize(
    "forbidden",
    [
        "SELECT * FROM secret",
        "CREATE DATABASE other",
        "CREATE ROLE other",
        "CREATE SCHEMA other",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        f'ALTER ROLE "{ROLE}" SUPERUSER',
    ],
)
def test_the_role_can_do_nothing_else(service, forbidden):
    assert tell(service, "SELECT 1") == [(1,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        tell(service, forbidden)


def test_another_role_cannot_even_connect(administrator, service):
    """Every role may connect to every database, until somebody takes that back."""
    tell(administrator, "CREATE ROLE stranger LOGIN PASSWORD 'x'")
    try:
        may = tell(
            administrator,
            "SELECT has_database_privilege('stranger', 'gridos', 'CONNECT'),"
            " has_schema_privilege('stranger', 'public', 'USAGE')",
        )
    finally:
        tell(administrator, "DROP ROLE stranger")

    assert may == [(False, False)]


def test_a_statement_that_hangs_is_ended(service):
    assert tell(service, "SHOW statement_timeout") == [("30s",)]


def test_making_the_role_again_changes_nothing(administrator, service):
    make_role(administrator)

    assert tell(service, "SELECT current_user") == [(ROLE,)]


def test_without_its_programs_the_script_says_what_to_install(tmp_path):
    for program in ("bash", "dirname", "env"):
        (tmp_path / program).symlink_to(shutil.which(program))
    command, environment = [workspace.SOURCE / "scripts/create_role"], {"PATH": str(tmp_path)}

    done = processes.run(command, env=environment, capture_output=True, text=True)

    assert done.returncode == 2
    assert done.stderr == "create_role: terraform is not on PATH; install it\n"
