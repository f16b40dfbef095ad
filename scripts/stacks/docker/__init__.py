"""The docker stack: the services of docker-compose.yml in containers.

stack          its targets, services, introduction and checks
addresses      the ports at which the containers are published
compose        the docker compose command
engine         the Docker engine, through its SDK
engine_checks  what doctor checks about the engine
"""
