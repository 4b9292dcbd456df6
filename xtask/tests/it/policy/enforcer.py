"""An AWS that enforces IAM's actions: moto, in this process. Prints its port; then, for each line with a policy on stdin, starts afresh
with one user under that policy and prints the user's keys. Ends with stdin."""

import json
import sys

import boto3
from moto import settings
from moto.backends import get_backend
from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import JsonRESTError
from moto.ecs import models as ecs_models
from moto.iam.access_control import IAMRequest
from moto.moto_api import state_manager
from moto.server import ThreadedMotoServer

SERVICES = ["ecs", "ecr", "logs", "iam", "sts", "ec2"]


def repair():
    """Three answers of moto that are not AWS's: sizes of containers are numbers, a task that has stopped has no stop code, and services
    that speak JSON refuse in XML. What is refused is moto's decision."""
    made = ecs_models.Container.__init__

    def container(self, definition):
        made(self, definition)
        self.cpu, self.memory = str(self.cpu or 0), str(self.memory or 0)

    def stop_code(self):
        if self.last_status != "STOPPED":
            return None
        return "UserInitiated" if self.stopped_reason else "EssentialContainerExited"

    def deny(self):
        message = f"User: {self._access_key.arn} is not authorized to perform: {self._action}"
        raise JsonRESTError("AccessDeniedException", message)

    IAMRequest._raise_access_denied = deny
    ecs_models.Container.__init__ = container
    ecs_models.Task.stop_code = property(stop_code)


def world(url, order):
    settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
    for service in SERVICES:
        get_backend(service).reset()
    # Each look at an ECS task moves it on, or a second does: then only StopTask ends it in time.
    still = {"progression": "time", "seconds": 1}
    state_manager.set_transition("ecs::task", still if order["still"] else {"progression": "manual", "times": 2})

    def client(service):
        keys = {"aws_access_key_id": "setup", "aws_secret_access_key": "setup"}
        return boto3.client(service, endpoint_url=url, region_name="eu-west-1", **keys)

    ecs, iam = client("ecs"), client("iam")
    ecs.create_cluster(clusterName="staging")
    options = {"awslogs-group": "/ecs/web", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "web"}
    container = {
        "name": "web",
        "image": "example.com/web:1",
        "memory": 256,
        "logConfiguration": {"logDriver": "awslogs", "options": options},
    }
    ecs.register_task_definition(
        family="web",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[container],
    )
    # moto fails without a security group.
    ec2 = client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}
    ecs.create_service(
        cluster="staging",
        serviceName="web",
        taskDefinition="web",
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=network,
    )
    iam.create_user(UserName="runner")
    iam.put_user_policy(UserName="runner", PolicyName="run", PolicyDocument=json.dumps(order["policy"]))
    keys = iam.create_access_key(UserName="runner")["AccessKey"]
    ActionAuthenticatorMixin.request_count = 0
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    return {"id": keys["AccessKeyId"], "secret": keys["SecretAccessKey"]}


def main():
    repair()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    print(port, flush=True)
    for line in sys.stdin:
        print(json.dumps(world(f"http://127.0.0.1:{port}", json.loads(line))), flush=True)


main()
