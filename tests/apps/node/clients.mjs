// What the common clients of Node.js read from the environment that `./invoke run` gives them.
import {
  CognitoIdentityProviderClient,
  InitiateAuthCommand,
  ListUsersCommand,
} from "@aws-sdk/client-cognito-identity-provider";
import { DynamoDBClient, ScanCommand } from "@aws-sdk/client-dynamodb";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import knex from "knex";
import pg from "pg";
import postgres from "postgres";

const env = process.env;
const query = "SELECT handle FROM users ORDER BY handle";
const seen = {};

for (const [how, options] of [["url", { connectionString: env.DATABASE_URL }], ["variables", {}]]) {
  const client = new pg.Client(options);
  await client.connect();
  seen[`pg, ${how}`] = (await client.query(query)).rows.map((row) => row.handle);
  await client.end();
}
for (const [how, options] of [["url", [env.DATABASE_URL]], ["variables", []]]) {
  const sql = postgres(...options);
  seen[`postgres, ${how}`] = (await sql.unsafe(query)).map((row) => row.handle);
  await sql.end();
}
for (const [how, connection] of [["url", env.DATABASE_URL], ["variables", {}]]) {
  const database = knex({ client: "pg", connection });
  seen[`knex, ${how}`] = await database("users").orderBy("handle").pluck("handle");
  await database.destroy();
}

const scan = new ScanCommand({ TableName: "cruddur-messages", Select: "COUNT" });
seen.dynamodb = (await new DynamoDBClient().send(scan)).Count;

const s3 = new S3Client();
const place = { Bucket: "avatars", Key: "korney.txt" };
await s3.send(new CreateBucketCommand({ Bucket: place.Bucket }));
await s3.send(new PutObjectCommand({ ...place, Body: "a picture" }));
seen.s3 = await (await s3.send(new GetObjectCommand(place))).Body.transformToString();

const cognito = new CognitoIdentityProviderClient();
const pool = new ListUsersCommand({ UserPoolId: env.AWS_COGNITO_USER_POOL_ID });
seen.users = (await cognito.send(pool)).Users.length;
const signIn = new InitiateAuthCommand({
  AuthFlow: "USER_PASSWORD_AUTH",
  ClientId: env.AWS_COGNITO_USER_POOL_CLIENT_ID,
  AuthParameters: { USERNAME: "korney@example.com", PASSWORD: env.COGNITO_PASSWORD },
});
seen.signedIn = Boolean((await cognito.send(signIn)).AuthenticationResult.AccessToken);

console.log(JSON.stringify(seen));
