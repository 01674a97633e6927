//! The properties of each type: names with spaces between them.

use super::{Inner, Kind};

/// The types of resources.
pub const TYPES: &[&Kind] = &[
    &FUNCTION,
    &PLAIN_FUNCTION,
    &SAM_HTTP_API,
    &SAM_WEBSOCKET_API,
    &API,
    &STAGE,
    &ROUTE,
    &ROUTE_RESPONSE,
    &INTEGRATION,
    &AUTHORIZER,
    &OVERRIDES,
];

/// Maps in properties, in the order of the table.
pub const INNER: &[&Kind] = &[
    &HTTP_EVENT_AUTH,
    &HTTP_AUTH,
    &HTTP_AUTHORIZER,
    &WEBSOCKET_AUTH,
    &WEBSOCKET_ROUTE,
    &ROUTE_SETTINGS,
    &CORS,
    &OPENAPI,
    &OPERATION,
    &OPENAPI_INTEGRATION,
];

const EMPTY: Kind = Kind {
    name: "",
    served: "",
    without_effect: "",
    named: "",
    named_elsewhere: "",
    is_open: false,
    inner: &[],
};

const FUNCTION: Kind = Kind {
    name: "AWS::Serverless::Function",
    served: "AutoPublishAlias CodeUri Environment Events FunctionName Handler InlineCode MemorySize \
        PackageType Runtime Timeout",
    without_effect: "Architectures AssumeRolePolicyDocument AutoPublishAliasAllProperties AutoPublishCodeSha256 \
        CodeSigningConfigArn Connectors DeploymentPreference Description EphemeralStorage \
        FunctionScalingConfig KmsKeyArn LoggingConfig PermissionsBoundary Policies PropagateTags \
        ProvisionedConcurrencyConfig PublishToLatestPublished RecursiveLoop \
        ReservedConcurrentExecutions Role RolePath RuntimeManagementConfig SnapStart SourceKMSKeyArn \
        Tags TenancyConfig Tracing VersionDeletionPolicy VersionDescription VpcConfig",
    named_elsewhere: "ImageConfig ImageUri Layers",
    named: "CapacityProviderConfig DeadLetterQueue DurableConfig EventInvokeConfig FileSystemConfigs \
        FunctionUrlConfig",
    ..EMPTY
};

const PLAIN_FUNCTION: Kind = Kind {
    name: "AWS::Lambda::Function",
    served: "Code Environment FunctionName Handler MemorySize PackageType Runtime Timeout",
    without_effect: "Architectures CodeSigningConfigArn Description EphemeralStorage FunctionScalingConfig \
        KmsKeyArn LoggingConfig PublishToLatestPublished RecursiveLoop ReservedConcurrentExecutions \
        Role RuntimeManagementConfig SnapStart Tags TenancyConfig TracingConfig VpcConfig",
    named_elsewhere: "ImageConfig Layers",
    named: "CapacityProviderConfig DeadLetterConfig DurableConfig FileSystemConfigs",
    ..EMPTY
};

pub const SAM_HTTP_API: Kind = Kind {
    name: "AWS::Serverless::HttpApi",
    served: "Auth CorsConfiguration DefaultRouteSettings DefinitionBody DefinitionUri RouteSettings \
        StageName StageVariables",
    without_effect: "AccessLogSettings Description DisableExecuteApiEndpoint FailOnWarnings Name PropagateTags \
        Tags",
    named: "Domain",
    inner: &[
        ("Auth", Inner::Map(&HTTP_AUTH)),
        ("CorsConfiguration", Inner::Map(&CORS)),
        ("DefaultRouteSettings", Inner::Map(&ROUTE_SETTINGS)),
        ("RouteSettings", Inner::Each(&ROUTE_SETTINGS)),
        ("DefinitionBody", Inner::Map(&OPENAPI)),
    ],
    ..EMPTY
};

pub const SAM_WEBSOCKET_API: Kind = Kind {
    name: "AWS::Serverless::WebSocketApi",
    served: "Auth DefaultRouteSettings RouteSelectionExpression RouteSettings Routes StageName \
        StageVariables",
    without_effect: "AccessLogSettings ApiKeySelectionExpression Description DisableExecuteApiEndpoint \
        DisableSchemaValidation FailOnWarnings IpAddressType Name PropagateTags Tags",
    named: "Domain",
    inner: &[
        ("Auth", Inner::Map(&WEBSOCKET_AUTH)),
        ("DefaultRouteSettings", Inner::Map(&ROUTE_SETTINGS)),
        ("RouteSettings", Inner::Each(&ROUTE_SETTINGS)),
        ("Routes", Inner::Each(&WEBSOCKET_ROUTE)),
    ],
    ..EMPTY
};

pub const API: Kind = Kind {
    name: "AWS::ApiGatewayV2::Api",
    served: "Body CorsConfiguration ProtocolType RouteKey RouteSelectionExpression Target",
    without_effect: "ApiKeySelectionExpression CredentialsArn Description DisableExecuteApiEndpoint \
        DisableSchemaValidation FailOnWarnings IpAddressType Name Tags Version",
    named: "BasePath BodyS3Location",
    inner: &[
        ("Body", Inner::Map(&OPENAPI)),
        ("CorsConfiguration", Inner::Map(&CORS)),
    ],
    ..EMPTY
};

const STAGE: Kind = Kind {
    name: "AWS::ApiGatewayV2::Stage",
    served: "ApiId DefaultRouteSettings RouteSettings StageName StageVariables",
    without_effect: "AccessLogSettings AccessPolicyId AutoDeploy DeploymentId Description Tags",
    named: "ClientCertificateId",
    inner: &[
        ("DefaultRouteSettings", Inner::Map(&ROUTE_SETTINGS)),
        ("RouteSettings", Inner::Each(&ROUTE_SETTINGS)),
    ],
    ..EMPTY
};

pub const ROUTE: Kind = Kind {
    name: "AWS::ApiGatewayV2::Route",
    served: "ApiId AuthorizationScopes AuthorizationType AuthorizerId RouteKey \
        RouteResponseSelectionExpression Target",
    without_effect: "OperationName",
    named: "ApiKeyRequired ModelSelectionExpression RequestModels RequestParameters",
    ..EMPTY
};

const ROUTE_RESPONSE: Kind = Kind {
    name: "AWS::ApiGatewayV2::RouteResponse",
    served: "ApiId RouteId RouteResponseKey",
    named: "ModelSelectionExpression ResponseModels ResponseParameters",
    ..EMPTY
};

const INTEGRATION: Kind = Kind {
    name: "AWS::ApiGatewayV2::Integration",
    served: "ApiId IntegrationType IntegrationUri PayloadFormatVersion TimeoutInMillis",
    without_effect: "ConnectionType CredentialsArn Description IntegrationMethod PassthroughBehavior",
    named: "ConnectionId ContentHandlingStrategy IntegrationSubtype RequestParameters RequestTemplates \
        ResponseParameters TemplateSelectionExpression TlsConfig",
    ..EMPTY
};

const AUTHORIZER: Kind = Kind {
    name: "AWS::ApiGatewayV2::Authorizer",
    served: "ApiId AuthorizerPayloadFormatVersion AuthorizerResultTtlInSeconds AuthorizerType \
        AuthorizerUri EnableSimpleResponses IdentitySource JwtConfiguration",
    without_effect: "AuthorizerCredentialsArn IdentityValidationExpression Name",
    ..EMPTY
};

const OVERRIDES: Kind = Kind {
    name: "AWS::ApiGatewayV2::ApiGatewayManagedOverrides",
    served: "ApiId Integration Route Stage",
    inner: &[
        ("Integration", Inner::Map(&INTEGRATION)),
        ("Route", Inner::Map(&ROUTE)),
        ("Stage", Inner::Map(&STAGE)),
    ],
    ..EMPTY
};

pub const HTTP_EVENT: Kind = Kind {
    name: "`HttpApi` events",
    served: "ApiId Auth Method Path PayloadFormatVersion RouteSettings TimeoutInMillis",
    without_effect: "Stage",
    inner: &[
        ("Auth", Inner::Map(&HTTP_EVENT_AUTH)),
        ("RouteSettings", Inner::Map(&ROUTE_SETTINGS)),
    ],
    ..EMPTY
};

pub const HTTP_EVENT_AUTH: Kind = Kind {
    name: "`Auth` of these events",
    served: "AuthorizationScopes Authorizer",
    ..EMPTY
};

pub const HTTP_AUTH: Kind = Kind {
    name: "`Auth` of an `HttpApi`",
    served: "Authorizers DefaultAuthorizer EnableIamAuthorizer",
    inner: &[("Authorizers", Inner::Each(&HTTP_AUTHORIZER))],
    ..EMPTY
};

pub const HTTP_AUTHORIZER: Kind = Kind {
    name: "its `Authorizers`",
    served: "AuthorizationScopes AuthorizerPayloadFormatVersion EnableSimpleResponses FunctionArn \
        Identity IdentitySource JwtConfiguration",
    without_effect: "EnableFunctionDefaultPermissions FunctionInvokeRole",
    ..EMPTY
};

pub const WEBSOCKET_AUTH: Kind = Kind {
    name: "`Auth` of a `WebSocketApi`",
    served: "AuthArn AuthType IdentitySource",
    without_effect: "InvokeRole Name",
    ..EMPTY
};

const WEBSOCKET_ROUTE: Kind = Kind {
    name: "its `Routes`",
    served: "FunctionArn IntegrationTimeout RouteResponseSelectionExpression",
    without_effect: "OperationName",
    named: "ApiKeyRequired ModelSelectionExpression RequestModels RequestParameters",
    ..EMPTY
};

const ROUTE_SETTINGS: Kind = Kind {
    name: "settings of routes",
    served: "ThrottlingBurstLimit ThrottlingRateLimit",
    without_effect: "DataTraceEnabled DetailedMetricsEnabled LoggingLevel",
    ..EMPTY
};

const CORS: Kind = Kind {
    name: "`CorsConfiguration`",
    served: "AllowCredentials AllowHeaders AllowMethods AllowOrigins ExposeHeaders MaxAge",
    ..EMPTY
};

const OPENAPI: Kind = Kind {
    name: "an OpenAPI definition",
    named: "basePath x-amazon-apigateway-api-key-source x-amazon-apigateway-policy \
        x-amazon-apigateway-request-validator",
    is_open: true,
    inner: &[("paths", Inner::EachOfEach(&OPERATION))],
    ..EMPTY
};

const OPERATION: Kind = Kind {
    name: "an operation",
    named: "x-amazon-apigateway-api-key-source x-amazon-apigateway-policy \
        x-amazon-apigateway-request-validator",
    is_open: true,
    inner: &[(
        "x-amazon-apigateway-integration",
        Inner::Map(&OPENAPI_INTEGRATION),
    )],
    ..EMPTY
};

const OPENAPI_INTEGRATION: Kind = Kind {
    name: "`x-amazon-apigateway-integration`",
    served: "$ref payloadFormatVersion timeoutInMillis type uri",
    without_effect: "connectionType credentials httpMethod passthroughBehavior responses",
    named: "cacheKeyParameters connectionId contentHandling integrationSubtype requestParameters \
        requestTemplates responseParameters tlsConfig",
    ..EMPTY
};
