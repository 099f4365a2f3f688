"""Quotes in FastAPI, instrumented as its users do it, from PostgreSQL."""

import os
from contextlib import asynccontextmanager
from itertools import count

import psycopg
from fastapi import FastAPI, HTTPException
from prometheus_fastapi_instrumentator import Instrumentator

FAILS_EACH = 0
asked = count(1)


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.database = await psycopg.AsyncConnection.connect(
        os.environ["DATABASE_URL"], autocommit=True
    )
    yield


app = FastAPI(title="Quotes", lifespan=lifespan)
Instrumentator().instrument(app).expose(app)


@app.get("/healthz")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/quotes/{number}")
async def quote(number: int) -> dict[str, str]:
    if FAILS_EACH and next(asked) % FAILS_EACH == 0:
        raise HTTPException(500)
    found = await app.state.database.execute("SELECT text FROM quotes WHERE id = %s", [number])
    row = await found.fetchone()
    if row is None:
        raise HTTPException(404)
    return {"text": row[0]}
