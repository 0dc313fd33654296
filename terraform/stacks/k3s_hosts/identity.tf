resource "aws_iam_role" "server" {
  name        = "${var.name}-server"
  description = "K3S servers of ${var.name}: Session Manager and etcd snapshots"
  tags        = local.server_tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_instance_profile" "server" {
  name = "${var.name}-server"
  role = aws_iam_role.server.name
  tags = local.server_tags
}

resource "aws_iam_role_policy_attachment" "ssm" {
  role       = aws_iam_role.server.name
  policy_arn = "arn:${local.account.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_role_policy" "server" {
  name = "snapshots"
  role = aws_iam_role.server.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # AWS's policy for Session Manager also reads every parameter of the account, which no session needs.
        Sid      = "NoParametersOfOthers"
        Effect   = "Deny"
        Action   = ["ssm:GetParameter", "ssm:GetParameters"]
        Resource = "*"
      },
      {
        Sid      = "FindSnapshots"
        Effect   = "Allow"
        Action   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
        Resource = aws_s3_bucket.snapshots.arn
      },
      {
        # To delete is to hide: the right to delete a version is missing, so that a server that is broken into cannot take
        # the snapshots with it.
        Sid      = "KeepSnapshots"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        Resource = "${aws_s3_bucket.snapshots.arn}/*"
      },
      {
        Sid       = "EncryptSnapshots"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = aws_kms_key.this.arn
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
      },
    ]
  })
}
