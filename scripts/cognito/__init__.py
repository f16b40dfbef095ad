"""Cognito: the user pool, the app's users, and the sync of both.

user_pool      the pool and its users: create, list, export, restore
users          the app's users in Postgres
browse         the pool's users with all attributes, each with its row in Postgres
sync           compare the two by handle; write each Cognito id (sub) into Postgres
"""
