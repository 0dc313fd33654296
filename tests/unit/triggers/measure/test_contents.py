"""What the beginning of a file tells about it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from xops.triggers.measure.classification.contents import MOST_CHARACTERS, kind_of
from xops.triggers.measure.classification.hints import extension_of

OBJECT = "apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: x\n"
DEPLOYMENT_TEMPLATE = (
    "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
)


@pytest.mark.parametrize(
    ("version", "kind", "expected"),
    [
        ("apps/v1", "Deployment", "kubernetes"),
        ('"external-secrets.io/v1"', "ExternalSecret", "kubernetes"),
        ("argoproj.io/v1alpha1", "Application", "argo"),
        ("argoproj.io/v1alpha1", "ApplicationSet", "argo"),
        ("helm.toolkit.fluxcd.io/v2", "HelmRelease", "flux"),
        ("apiextensions.crossplane.io/v1", "Composition", "crossplane"),
        ("s3.aws.upbound.io/v1beta1", "Bucket", "crossplane"),
        ("kustomize.config.k8s.io/v1beta1", "Kustomization", "kustomize"),
        ("eksctl.io/v1alpha5", "ClusterConfig", "kubernetes"),
    ],
)
def test_objects_of_kubernetes_are_told_by_their_group(
    version: str, kind: str, expected: str
) -> None:
    found = kind_of("yaml", OBJECT.format(version=version, kind=kind))
    assert found is not None
    assert found[0] == expected


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("skaffold/v3", "Config"),
        ("backstage.io/v1alpha1", "Component"),
        ("v1", "Config"),
        ("kind.x-k8s.io/v1alpha4", "Cluster"),
    ],
)
def test_what_configures_a_developers_tool_never_reaches_a_cluster(version: str, kind: str) -> None:
    assert kind_of("yaml", OBJECT.format(version=version, kind=kind)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n---\nkind: Service\napiVersion: v1\nmetadata:\n", "kubernetes"),
        ("# apiVersion: v1\n# kind: Service\n# metadata:\n#   name: x\n", "kubernetes"),
        ("apiVersion: {{ .Values.api }}\nkind: Ingress\nmetadata:\n", "kubernetes"),
        ("apiVersion: v1\nkind: List\nitems: []\n", "kubernetes"),
        ("\ufeffapiVersion: v1\r\nkind: Service\r\nmetadata:\r\n", "kubernetes"),
        ('{"apiVersion": "v1", "kind": "Service", "metadata": {}}', "kubernetes"),
        ("AWSTemplateFormatVersion: '2010-09-09'\nResources:\n", "cloudformation"),
        ("Transform: AWS::Serverless-2016-10-31\nResources:\n", "cloudformation"),
        ("Resources:\n  Topic:\n    Type: AWS::SNS::Topic\n", "cloudformation"),
        ("Parameters:\nResources:\n", "cloudformation"),
        ("Type: AWS::EC2::Subnet\nProperties:\n", "cloudformation"),
        ("- hosts: web\n  tasks: []\n", "ansible"),
        ("import: [base]\nvars: {}\n", "terraform"),
        ("resources:\n- name: vm\n  type: compute.v1.instance\n", "deployment_manager"),
        ("resources:\n- name: x\n  type: gcp-types/monitoring-v3:a.b\n", "deployment_manager"),
        ("- name: all\n  import_playbook: web.yml\n", "ansible"),
        ("- name: nginx is there\n  apt:\n    name: nginx\n", "ansible"),
        ("- name: nginx\n  ansible.builtin.service:\n    state: started\n", "ansible"),
        ("- op: replace\n  path: /spec\n  value: 1\n", "kustomize"),
        ("machine:\n  network: {}\ncluster: {}\n", "talos"),
        ("apiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\n", "talos"),
        ("#cloud-config\npackages: []\n", "cloud_init"),
        ("db: ENC[x]\nsops:\n  version: 3\n", "sops"),
        ("service: api\nprovider:\n  name: aws\n", "serverless"),
        ("releases:\n- name: x\nrepositories: []\n", "helm"),
        ("heat_template_version: 2021-04-16\nresources: {}\n", "heat"),
    ],
)
def test_yaml_tells(text: str, expected: str) -> None:
    found = kind_of("yaml", text)
    assert found is not None
    assert found[0] == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "services:\n  web:\n    image: nginx\n",
        "openapi: 3.1.0\ninfo: {}\n",
        "name: ci\non: push\njobs: {}\n",
        "template: |\n  apiVersion: v1\n  kind: Service\n  metadata: {}\n",
        "apiVersion: v1\n---\nkind: Service\nmetadata: {}\n",
        "- name: soup\n  price: 3\n",
        "apiVersion: acme/v1\nkind: Menu\nsoup: 3\n",
    ],
)
def test_other_yaml_tells_nothing(text: str) -> None:
    assert kind_of("yaml", text) is None


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"$schema": DEPLOYMENT_TEMPLATE, "resources": []}, "arm"),
        ({"name": "x", "type": "Microsoft.Authorization/policyDefinitions"}, "arm"),
        ({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}, "cloudformation"),
        ([{"ParameterKey": "Vpc", "ParameterValue": "x"}], "cloudformation"),
        ({"builders": [{"type": "amazon-ebs"}]}, "packer"),
        ({"family": "web", "containerDefinitions": []}, "ecs"),
        ({"name": "web", "kind": "menu"}, None),
        ({"Resources": "of the office"}, None),
    ],
)
@pytest.mark.parametrize("indent", [None, 2, 4])
def test_json_tells(document: object, expected: str | None, indent: int | None) -> None:
    found = kind_of("json", json.dumps(document, indent=indent))
    assert (found and found[0]) == expected


@pytest.mark.parametrize(
    ("extension", "text", "expected"),
    [
        ("ts", 'import * as aws from "@pulumi/aws";', "pulumi"),
        ("py", "import pulumi\n", "pulumi"),
        ("cs", "using Pulumi;\n", "pulumi"),
        ("ts", "import { Stack } from 'aws-cdk-lib';", "cdk"),
        ("py", "from aws_cdk import Stack\n", "cdk"),
        ("java", "import software.amazon.awscdk.Stack;", "cdk"),
        ("ts", 'import { App } from "cdktf";', "cdktf"),
        ("ts", 'import express from "express";', None),
    ],
)
def test_code_is_told_by_what_it_imports(extension: str, text: str, expected: str | None) -> None:
    found = kind_of(extension, text)
    assert (found and found[0]) == expected


def test_a_file_that_a_template_makes_is_read_as_what_it_becomes() -> None:
    assert extension_of("x/deployment.yaml.j2") == "yaml"
    assert extension_of("x/nginx.conf.j2") == "j2"
    assert extension_of("x.d/Makefile") == ""


@pytest.mark.parametrize(
    "text",
    [
        "a" * MOST_CHARACTERS,
        "- " * (MOST_CHARACTERS // 2),
        "a:\n" * (MOST_CHARACTERS // 3),
        "---\n" * (MOST_CHARACTERS // 4),
        '"$schema"' + " " * MOST_CHARACTERS,
        '"$schema": "' * 5_000,
        "# apiVersion\n" * 5_000,
        "&a [*a, *a]\n" * 5_000,
    ],
)
@pytest.mark.parametrize("extension", ["yaml", "json", "ts"])
def test_a_hostile_file_costs_no_time(extension: str, text: str) -> None:
    begun = time.process_time()
    assert kind_of(extension, text * 3) is None
    assert time.process_time() - begun < 0.5


@given(st.sampled_from(["yaml", "json", "ts", "template", ""]), st.text())
@examples(100)
def test_no_content_is_too_strange(extension: str, text: str) -> None:
    kind_of(extension, text)
