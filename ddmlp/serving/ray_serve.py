"""The application on Ray Serve: serve run ddmlp.serving.ray_serve:app model=RUN_OR_NPZ replicas=N."""

from pathlib import Path
from typing import Annotated

from fastapi import FastAPI
from pydantic import BaseModel, BeforeValidator, Field
from ray import serve

from ddmlp.serving.app import application
from ddmlp.serving.models import fixed

Models = Annotated[
    list[Path], Field(min_length=1), BeforeValidator(lambda given: given if isinstance(given, list) else [given])
]


class Settings(BaseModel):
    """The arguments of the application.

    Parameters
    ----------
    model
        A run's folder or a model's .npz file, on a file system that every node mounts; a list of them is a committee.
    replicas
        Number of replicas.
    cpus
        CPUs of each replica.
    """

    model: Models
    replicas: int = 1
    cpus: float = 1.0


def app(settings: Settings) -> serve.Application:
    """Build the application, for `serve run`, `serve deploy` and `serve.run`."""

    def build() -> FastAPI:
        return application(fixed(*settings.model), ", ".join(map(str, settings.model)))

    replica = serve.deployment(
        name="recogniser", num_replicas=settings.replicas, ray_actor_options={"num_cpus": settings.cpus}
    )
    found: serve.Application = replica(serve.ingress(build)()).bind()
    return found
