"""Every call that an extension adds or replaces, against botocore's model of it.

The raw answer is compared with the modelled output: no member that the model lacks, none missing
that it requires, every value of the modelled type. The parsers alone would drop an unknown member
without a word. A last test says when moto has gained a call of its own, which should win then.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape

SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "boolean": (bool,),
    "timestamp": (int, float, str),
}

Clients = Callable[..., Any]


def problems(shape: Shape, value: Any, path: str = "") -> Iterator[str]:
    if isinstance(shape, StructureShape):
        yield from _structure_problems(shape, value, path)
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value):
            yield from problems(shape.member, item, f"{path}[{number}]")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from problems(shape.value, item, f"{path}[{key}]")
    elif type(value) not in SCALARS[shape.type_name]:
        yield f"{path}: {value!r} is no {shape.type_name}"
    elif (allowed := getattr(shape, "enum", None)) and value not in allowed:
        yield f"{path}: {value!r} is none of {allowed}"


def _structure_problems(shape: StructureShape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no structure"
        return
    wire = {m.serialization.get("name", n): m for n, m in shape.members.items()}
    for name in value.keys() - wire.keys():
        yield f"{path}.{name}: not in the model"
    for name in shape.required_members:
        if shape.members[name].serialization.get("name", name) not in value:
            yield f"{path}.{name}: required and missing"
    for name in value.keys() & wire.keys():
        if value[name] is not None:
            yield from problems(wire[name], value[name], f"{path}.{name}")


@pytest.fixture
def checked(client: Clients) -> Clients:
    """Make clients whose every answer is checked against the model of its operation."""

    def check(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
        body, shape = response_dict["body"], operation_model.output_shape
        protocol = operation_model.service_model.metadata["protocol"]
        if response_dict["status_code"] >= 300 or "json" not in protocol or shape is None:
            return
        found = list(problems(shape, json.loads(body or b"{}")))
        assert found == [], f"{operation_model.name}: {found}"

    def make(service: str, **options: Any) -> Any:
        made = client(service, **options)
        made.meta.events.register("before-parse.*.*", check)
        return made

    return make


def test_the_checker_finds_what_is_wrong(client: Clients) -> None:
    shape = client("ecs").meta.service_model.operation_model("DescribeServices").output_shape
    wrong = {"services": [{"desiredCount": "2", "colour": "red"}], "failures": []}
    assert sorted(problems(shape, wrong)) == [
        ".services[0].colour: not in the model",
        ".services[0].desiredCount: '2' is no integer",
    ]


def test_efs_backup_policy(checked: Clients, client: Clients) -> None:
    efs = checked("efs")
    system = client("efs").create_file_system(CreationToken="contract")["FileSystemId"]
    with pytest.raises(ClientError, match="PolicyNotFound"):
        efs.describe_backup_policy(FileSystemId=system)
    for status in ("ENABLED", "DISABLED"):
        answer = efs.put_backup_policy(FileSystemId=system, BackupPolicy={"Status": status})
        assert answer["BackupPolicy"] == {"Status": status}
        described = efs.describe_backup_policy(FileSystemId=system)
        assert described["BackupPolicy"] == {"Status": status}
    with pytest.raises(ClientError, match="ValidationException"):
        efs.put_backup_policy(FileSystemId=system, BackupPolicy={"Status": "MAYBE"})
    with pytest.raises(ClientError, match="FileSystemNotFound"):
        efs.put_backup_policy(FileSystemId="fs-00000000", BackupPolicy={"Status": "ENABLED"})


def test_efs_resource_policy(checked: Clients, client: Clients) -> None:
    efs = checked("efs")
    system = client("efs").create_file_system(CreationToken="policy")["FileSystemId"]
    efs.put_file_system_policy(FileSystemId=system, Policy='{"Statement": []}')
    efs.delete_file_system_policy(FileSystemId=system)
    with pytest.raises(ClientError, match="PolicyNotFound"):
        efs.describe_file_system_policy(FileSystemId=system)
    with pytest.raises(ClientError, match="FileSystemNotFound"):
        efs.delete_file_system_policy(FileSystemId="fs-00000000")


def test_application_autoscaling_tags(checked: Clients) -> None:
    scaling = checked("application-autoscaling")
    arn = scaling.register_scalable_target(
        ServiceNamespace="dynamodb",
        ResourceId="table/contract",
        ScalableDimension="dynamodb:table:ReadCapacityUnits",
        MinCapacity=1,
        MaxCapacity=2,
        Tags={"a": "1", "b": "2"},
    )["ScalableTargetARN"]
    scaling.tag_resource(ResourceARN=arn, Tags={"b": "3"})
    scaling.untag_resource(ResourceARN=arn, TagKeys=["a", "absent"])
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"b": "3"}
    with pytest.raises(ClientError, match="TooManyTagsException"):
        scaling.tag_resource(ResourceARN=arn, Tags={str(n): "" for n in range(50)})
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        scaling.list_tags_for_resource(ResourceARN=arn + "0")


def test_budgets(checked: Clients) -> None:
    budgets, account = checked("budgets"), "123456789012"
    budget = {
        "BudgetName": "contract",
        "BudgetLimit": {"Amount": "180", "Unit": "USD"},
        "TimeUnit": "MONTHLY",
        "BudgetType": "COST",
    }
    notice = {
        "NotificationType": "FORECASTED",
        "ComparisonOperator": "GREATER_THAN",
        "Threshold": 100.0,
    }
    subscriber = {"SubscriptionType": "EMAIL", "Address": "ops@example.org"}
    budgets.create_budget(
        AccountId=account,
        Budget=budget,
        NotificationsWithSubscribers=[{"Notification": notice, "Subscribers": [subscriber]}],
        ResourceTags=[{"Key": "Project", "Value": "xops"}],
    )
    named = {"AccountId": account, "BudgetName": "contract"}
    answer = budgets.describe_subscribers_for_notification(**named, Notification=notice)
    assert answer["Subscribers"] == [subscriber]
    for absent in ({**named, "BudgetName": "absent"}, named):
        other = notice if absent is not named else {**notice, "Threshold": 50.0}
        with pytest.raises(ClientError, match="NotFoundException"):
            budgets.describe_subscribers_for_notification(**absent, Notification=other)
    budgets.update_budget(
        AccountId=account, NewBudget={**budget, "BudgetLimit": {"Amount": "380", "Unit": "USD"}}
    )
    assert budgets.describe_budget(**named)["Budget"]["BudgetLimit"]["Amount"] == "380"
    assert len(budgets.describe_notifications_for_budget(**named)["Notifications"]) == 1
    arn = f"arn:aws:budgets::{account}:budget/contract"
    budgets.tag_resource(ResourceARN=arn, ResourceTags=[{"Key": "Env", "Value": "prod"}])
    budgets.untag_resource(ResourceARN=arn, ResourceTagKeys=["Project"])
    tags = budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"]
    assert tags == [{"Key": "Env", "Value": "prod"}]


def test_backup_recovery_points(checked: Clients) -> None:
    backup = checked("backup")
    backup.create_backup_vault(BackupVaultName="empty")
    listed = backup.list_recovery_points_by_backup_vault(BackupVaultName="empty")
    assert listed["RecoveryPoints"] == []
    with pytest.raises(ClientError, match="ResourceNotFound"):
        backup.list_recovery_points_by_backup_vault(BackupVaultName="absent")


def test_backup_selections(checked: Clients) -> None:
    backup = checked("backup")
    rule = {"RuleName": "daily", "TargetBackupVaultName": "v"}
    made = backup.create_backup_plan(
        BackupPlan={"BackupPlanName": "contract", "Rules": [rule]}, BackupPlanTags={"a": "1"}
    )
    plan = {"BackupPlanId": made["BackupPlanId"]}
    assert backup.list_tags(ResourceArn=made["BackupPlanArn"])["Tags"] == {"a": "1"}
    document = {"SelectionName": "efs", "IamRoleArn": "arn:aws:iam::1:role/r", "Resources": ["*"]}
    chosen = backup.create_backup_selection(**plan, BackupSelection=document)["SelectionId"]
    read = backup.get_backup_selection(**plan, SelectionId=chosen)
    assert read["BackupSelection"] == document
    listed = backup.list_backup_selections(**plan)["BackupSelectionsList"]
    assert [s["SelectionId"] for s in listed] == [chosen]
    with pytest.raises(ClientError, match="InvalidRequestException"):
        backup.delete_backup_plan(**plan)
    changed = {"BackupPlanName": "contract", "Rules": [{**rule, "RuleName": "weekly"}]}
    version = backup.update_backup_plan(**plan, BackupPlan=changed)["VersionId"]
    assert version != made["VersionId"]
    assert backup.get_backup_plan(**plan)["BackupPlan"]["Rules"][0]["RuleName"] == "weekly"
    backup.delete_backup_selection(**plan, SelectionId=chosen)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        backup.get_backup_selection(**plan, SelectionId=chosen)
    backup.delete_backup_plan(**plan)


def test_permission_sets(checked: Clients) -> None:
    sso = checked("sso-admin")
    instance = sso.list_instances()["Instances"][0]["InstanceArn"]
    arn = sso.create_permission_set(
        InstanceArn=instance,
        Name="contract",
        SessionDuration="PT4H",
        Tags=[{"Key": "a", "Value": "1"}],
    )["PermissionSet"]["PermissionSetArn"]
    named = {"InstanceArn": instance, "ResourceArn": arn}
    sso.tag_resource(**named, Tags=[{"Key": "b", "Value": "2"}])
    sso.untag_resource(**named, TagKeys=["a"])
    assert sso.list_tags_for_resource(**named)["Tags"] == [{"Key": "b", "Value": "2"}]
    started = sso.provision_permission_set(
        InstanceArn=instance, PermissionSetArn=arn, TargetType="ALL_PROVISIONED_ACCOUNTS"
    )["PermissionSetProvisioningStatus"]
    ended = sso.describe_permission_set_provisioning_status(
        InstanceArn=instance, ProvisionPermissionSetRequestId=started["RequestId"]
    )["PermissionSetProvisioningStatus"]
    assert ended["Status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("kind", "plural", "name"),
    [
        ("cache_policy", "cache_policies", "Managed-CachingDisabled"),
        ("origin_request_policy", "origin_request_policies", "Managed-AllViewer"),
        (
            "response_headers_policy",
            "response_headers_policies",
            "Managed-SecurityHeadersPolicy",
        ),
    ],
)
def test_managed_policies(client: Clients, kind: str, plural: str, name: str) -> None:
    cloudfront = client("cloudfront")
    member = "".join(part.capitalize() for part in kind.split("_"))
    page = getattr(cloudfront, f"list_{plural}")(Type="managed")[f"{member}List"]
    assert page["Quantity"] == len(page["Items"])
    found = {i[member][f"{member}Config"]["Name"]: i[member]["Id"] for i in page["Items"]}
    read = getattr(cloudfront, f"get_{kind}")(Id=found[name])[member]
    assert read[f"{member}Config"]["Name"] == name
    assert getattr(cloudfront, f"list_{plural}")(Type="custom")[f"{member}List"]["Quantity"] == 0
    with pytest.raises(ClientError, match=f"NoSuch{member}"):
        getattr(cloudfront, f"get_{kind}")(Id="absent")


def test_attributes_of_a_queue(checked: Clients) -> None:
    sqs = checked("sqs")
    aside = sqs.create_queue(QueueName="aside")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=aside, AttributeNames=["QueueArn"])
    arn = attributes["Attributes"]["QueueArn"]
    redrive = f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":12}}'
    policy = json.dumps({"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sqs:*"}]})
    url = sqs.create_queue(
        QueueName="events", Attributes={"RedrivePolicy": redrive, "Policy": policy}
    )["QueueUrl"]

    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "300"})

    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert found["RedrivePolicy"] == redrive
    assert found["Policy"] == policy
    assert found["VisibilityTimeout"] == "300"
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert "Policy" not in found


def test_rules_of_a_security_group_keep_their_descriptions(client: Clients) -> None:
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.88.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    lists = ec2.describe_managed_prefix_lists()["PrefixLists"]
    wanted = "com.amazonaws.global.cloudfront.origin-facing"
    prefix = next(p["PrefixListId"] for p in lists if p["PrefixListName"] == wanted)
    source = {"PrefixListIds": [{"PrefixListId": prefix, "Description": "edge"}]}
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **source}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    described = [r.get("Description") for r in rules["SecurityGroupRules"] if not r["IsEgress"]]
    assert described == ["edge"]


def test_every_ecs_call_of_the_scheduler(checked: Clients, client: Clients) -> None:
    ecs, ec2 = checked("ecs"), client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.89.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.89.0.0/24")["Subnet"]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet]}}
    ecs.create_cluster(clusterName="contract")
    ecs.register_task_definition(
        family="contract",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        runtimePlatform={"cpuArchitecture": "ARM64"},
        containerDefinitions=[{"name": "web", "image": "web:1", "memory": 512}],
    )
    common = {"cluster": "contract", "taskDefinition": "contract"}
    made = ecs.create_service(
        **common,
        serviceName="web",
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=network,
        enableExecuteCommand=True,
        tags=[{"key": "a", "value": "1"}],
    )["service"]
    assert made["tags"] == [{"key": "a", "value": "1"}]
    ecs.get_waiter("services_stable").wait(
        cluster="contract", services=["web"], WaiterConfig={"Delay": 1}
    )
    ecs.describe_services(cluster="contract", services=["web", "absent"], include=["TAGS"])
    arns = ecs.list_tasks(cluster="contract", serviceName="web")["taskArns"]
    tasks = ecs.describe_tasks(cluster="contract", tasks=arns, include=["TAGS"])["tasks"]
    assert tasks[0]["attributes"] == [{"name": "ecs.cpu-architecture", "value": "arm64"}]
    one_off = ecs.run_task(
        **common, launchType="FARGATE", networkConfiguration=network, group="jobs"
    )["tasks"][0]
    assert (one_off["group"], one_off["lastStatus"]) == ("jobs", "PROVISIONING")
    ecs.stop_task(cluster="contract", task=one_off["taskArn"])
    ecs.update_service(cluster="contract", service="web", desiredCount=0)
    assert ecs.delete_service(cluster="contract", service="web")["service"]["status"] == "DRAINING"


MISSING_IN_MOTO = {
    "moto.applicationautoscaling.responses:ApplicationAutoScalingResponse": (
        "list_tags_for_resource tag_resource untag_resource"
    ),
    "moto.backup.responses:BackupResponse": (
        "create_backup_selection get_backup_selection list_backup_selections "
        "delete_backup_selection update_backup_plan"
    ),
    "moto.budgets.responses:BudgetsResponse": (
        "describe_subscribers_for_notification update_budget list_tags_for_resource "
        "tag_resource untag_resource"
    ),
    "moto.cloudfront.responses:CloudFrontResponse": (
        "list_cache_policies get_cache_policy list_origin_request_policies "
        "get_origin_request_policy list_response_headers_policies get_response_headers_policy"
    ),
    "moto.efs.responses:EFSResponse": "put_backup_policy delete_file_system_policy",
    "moto.ssoadmin.responses:SSOAdminResponse": (
        "list_tags_for_resource tag_resource untag_resource "
        "describe_permission_set_provisioning_status"
    ),
}


@pytest.mark.parametrize("place", MISSING_IN_MOTO)
def test_moto_still_lacks_what_the_extensions_add(place: str) -> None:
    module, _, name = place.partition(":")
    response = getattr(__import__(module, fromlist=[name]), name)
    gained = [call for call in MISSING_IN_MOTO[place].split() if hasattr(response, call)]
    assert gained == [], f"moto has {gained} of its own: drop the extension's"


def test_a_terminated_instance_lets_go_of_its_interface_and_says_what_it_was_asked_for(
    client: Clients,
) -> None:
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.90.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.90.0.0/24")["Subnet"]["SubnetId"]
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    number = interface["NetworkInterfaceId"]
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    disk = {"VolumeSize": 20, "VolumeType": "gp3", "Throughput": 250}
    instance = ec2.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        InstanceType="t4g.medium",
        DisableApiTermination=True,
        NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": number}],
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": disk}],
    )["Instances"][0]["InstanceId"]

    protection = ec2.describe_instance_attribute(
        InstanceId=instance, Attribute="disableApiTermination"
    )
    assert protection["DisableApiTermination"]["Value"] is True
    volumes = ec2.describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance]}]
    )["Volumes"]
    assert [volume["Throughput"] for volume in volumes] == [250]

    ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=[instance])
    (found,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[number])["NetworkInterfaces"]
    assert found["Status"] == "available"
    ec2.delete_network_interface(NetworkInterfaceId=number)
