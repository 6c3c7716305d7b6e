"""Mount the server in a FastAPI application whose own login says who may join.

python examples/login.py [PORT], then log in as ada (lovelace) or bob (marley)
"""

import secrets
import sys
from urllib.parse import parse_qsl

import uvicorn
from fastapi import FastAPI, Request, Response

from thkmesh.server import Asked, create_app

FORM = "<form method=post action=login><input name=user><input name=password><button>Log in"
PASSWORDS = {"ada": "lovelace", "bob": "marley"}  # yours are hashed, in a database
sessions: dict[str, str] = {}
app = FastAPI()


async def authenticate(asked: Asked) -> set[str] | None:
    """Say what whoever asks may do: the cookie of our own login tells who it is."""
    grants = {"ada": {"join", "send", "relay", "create", "list"}, "bob": {"join", "send", "relay"}}
    return grants.get(sessions.get(asked.cookies.get("session", ""), ""))


@app.post("/login")
async def login(request: Request) -> Response:
    """Remember who has logged in, as your application does already."""
    form = dict(parse_qsl((await request.body()).decode()))
    if PASSWORDS.get(form.get("user", "")) != form.get("password", "?"):
        return Response("no", 403)
    sessions[key := secrets.token_urlsafe()] = form["user"]
    cookie = f"session={key}; HttpOnly; SameSite=Lax; Path=/"
    return Response(None, 303, {"location": "/mesh/#lobby", "set-cookie": cookie})


app.add_route("/", lambda _: Response(FORM, media_type="text/html"))
app.mount("/mesh", create_app(authenticate=authenticate))
uvicorn.run(app, port=int(next(iter(sys.argv[1:]), "8000")), log_level="warning")
