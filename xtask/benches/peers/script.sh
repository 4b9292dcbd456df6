#!/usr/bin/env bash
# Runs a one-off task on ECS with the code at hand, as many repositories have it in the place of a tool: the aws CLI, docker and jq.
# With IMAGE set nothing is built.
set -euo pipefail

if [[ -z ${IMAGE:-} ]]; then
    account=$(aws sts get-caller-identity --query Account --output text)
    registry=${REGISTRY:-$account.dkr.ecr.$AWS_DEFAULT_REGION.amazonaws.com}
    IMAGE=$registry/$REPOSITORY:$TAG
    aws ecr get-login-password | docker login --username AWS --password-stdin "$registry"
    docker build --tag "$IMAGE" "$CONTEXT"
    docker push "$IMAGE"
fi

# What runs now, with our image in it.
live=$(aws ecs describe-services --cluster "$CLUSTER" --services "$SERVICE" --query 'services[0]')
base=$(jq --raw-output .taskDefinition <<<"$live")
definition=$(aws ecs describe-task-definition --task-definition "$base" --query taskDefinition |
    jq --arg image "$IMAGE" '.family += "-one-off"
        | .containerDefinitions[0].image = $image
        | {family, taskRoleArn, executionRoleArn, networkMode, containerDefinitions, volumes, requiresCompatibilities, cpu, memory}
        | with_entries(select(.value != null))')
revision=$(aws ecs register-task-definition --cli-input-json "$definition" \
    --query taskDefinition.taskDefinitionArn --output text)

container=$(jq --raw-output '.containerDefinitions[0].name' <<<"$definition")
options=$(jq '.containerDefinitions[0].logConfiguration.options' <<<"$definition")
overrides=$(jq --null-input --arg name "$container" '{containerOverrides: [{name: $name, command: $ARGS.positional}]}' --args "$@")
task=$(aws ecs run-task --cluster "$CLUSTER" --task-definition "$revision" --launch-type FARGATE \
    --network-configuration "$(jq .networkConfiguration <<<"$live")" --overrides "$overrides" \
    --query 'tasks[0].taskArn' --output text)
echo "started $task"

aws ecs wait tasks-stopped --cluster "$CLUSTER" --tasks "$task"

# A page has 10,000 lines at most; the end is where the token stays as it was.
group=$(jq --raw-output '."awslogs-group"' <<<"$options")
stream=$(jq --raw-output '."awslogs-stream-prefix"' <<<"$options")/$container/${task##*/}
token=
while true; do
    page=$(aws logs get-log-events --log-group-name "$group" --log-stream-name "$stream" --start-from-head \
        ${token:+--next-token "$token"} --output json)
    jq --raw-output '.events[].message' <<<"$page"
    next=$(jq --raw-output .nextForwardToken <<<"$page")
    [[ $next == "$token" ]] && break
    token=$next
done

exit "$(aws ecs describe-tasks --cluster "$CLUSTER" --tasks "$task" --query 'tasks[0].containers[0].exitCode' --output text)"
