"""Cognito: the user pool, the app's users, the sync of both, and sign-in.

user_pool      the pool and its users: create, list, save, restore
app_client     the client by which an app signs users in
users          the app's users in Postgres
addresses      a valid and unique e-mail address for each user
browse         the pool's users with all attributes, each with its row in Postgres
sync           compare the two by handle; write each Cognito ID (sub) into Postgres
passwords      the password of a user; what the pool refuses
sign_in        tokens with the local password
"""
