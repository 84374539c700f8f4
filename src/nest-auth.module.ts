import { type DynamicModule, Logger, Module, type Provider } from '@nestjs/common';
import { EventEmitter2 } from '@nestjs/event-emitter';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { AccessOperations } from './access/access.operations.js';
import { AccessService } from './access/access.service.js';
import { AccessSettings } from './access/access.settings.js';
import { PermissionService } from './access/permission.service.js';
import { RoleService } from './access/role.service.js';
import { BulkCreateOperations } from './account/bulk-create.operations.js';
import { CreateUserOperations } from './account/create-user.operations.js';
import { EntityWriteSubscriber } from './account/entity-write.subscriber.js';
import { HookRunner } from './account/hook-runner.js';
import { IdentityOperations } from './account/identity.operations.js';
import { PasswordService } from './account/password.service.js';
import { UserFinder } from './account/user-finder.js';
import { UserOperations } from './account/user.operations.js';
import { NestAuthError } from './errors/nest-auth.error.js';
import { EventPublisher } from './events/event-publisher.js';
import { assertRowSecurity } from './isolation/row-security.check.js';
import { TenantContext } from './isolation/tenant-context.js';
import { NestAuthEntities } from './nest-auth.entities.js';
import type {
  NestAuthModuleAsyncOptions,
  NestAuthModuleOptions,
  NestAuthOptionsFactory,
  NestAuthWiringOptions,
} from './nest-auth.options.js';
import { type NestAuthSettings, readSettings } from './nest-auth.settings.js';
import { assertSchemaIsOurs } from './schema-check.js';
import { Tenancy } from './tenant/tenancy.js';
import { TenantService } from './tenant/tenant.service.js';
import { registerPort } from './transaction/entity-ports.js';
import { TransactionHost } from './transaction/transaction-host.js';
import { UserService } from './user.service.js';

const OPTIONS = Symbol('NestAuthModuleOptions');
const SETTINGS = Symbol('NestAuthSettings');

const PUBLIC_SERVICES = [
  UserService,
  TenantService,
  RoleService,
  PermissionService,
  AccessService,
  PasswordService,
  TenantContext,
];

/** Wires the package into a host application: `NestAuthModule.forRoot()` beside `TypeOrmModule` and `EventEmitterModule`. */
@Module({})
export class NestAuthModule {
  static forRoot(options: NestAuthModuleOptions & NestAuthWiringOptions = {}): DynamicModule {
    const { dataSource, isGlobal, ...rest } = options;
    // Here, and not when the provider is made: a wrong option fails where it is written.
    readSettings(rest);
    return define({ dataSource, isGlobal }, [{ provide: OPTIONS, useValue: rest }]);
  }

  static forRootAsync(options: NestAuthModuleAsyncOptions): DynamicModule {
    const { dataSource, isGlobal, imports = [] } = options;
    return { ...define({ dataSource, isGlobal }, asyncOptions(options)), imports };
  }
}

interface Wiring {
  readonly dataSource: string | undefined;
  readonly isGlobal: boolean | undefined;
}

function define({ dataSource, isGlobal = true }: Wiring, options: Provider[]): DynamicModule {
  return {
    module: NestAuthModule,
    global: isGlobal,
    providers: [
      ...options,
      { provide: SETTINGS, inject: [OPTIONS], useFactory: readSettings },
      { provide: TransactionHost, inject: [getDataSourceToken(dataSource), SETTINGS], useFactory: attachHost },
      {
        provide: EventPublisher,
        inject: [TransactionHost, EventEmitter2],
        useFactory: (host: TransactionHost, emitter: EventEmitter2) => new EventPublisher(host, emitter),
      },
      {
        provide: Tenancy,
        inject: [SETTINGS],
        useFactory: (settings: NestAuthSettings) => new Tenancy(settings.tenantMode, settings.defaultTenantId),
      },
      {
        provide: AccessSettings,
        inject: [SETTINGS],
        useFactory: ({ guards }: NestAuthSettings) => new AccessSettings(guards),
      },
      {
        provide: PasswordService,
        inject: [SETTINGS],
        useFactory: ({ password }: NestAuthSettings) => new PasswordService(password),
      },
      ...ACCOUNT,
      {
        provide: AccessOperations,
        inject: [TransactionHost, EventPublisher, Tenancy],
        useFactory: (host: TransactionHost, events: EventPublisher, tenancy: Tenancy) => {
          const access = new AccessOperations(host, events, tenancy);
          registerPort(host.dataSource, 'access', access);
          return access;
        },
      },
      {
        provide: TenantContext,
        inject: [TransactionHost, EventPublisher, Tenancy, SETTINGS],
        useFactory: makeTenantContext,
      },
      UserService,
      TenantService,
      RoleService,
      PermissionService,
      AccessService,
    ],
    exports: PUBLIC_SERVICES,
  };
}

const ACCOUNT: Provider[] = [
  {
    provide: HookRunner,
    inject: [TransactionHost, SETTINGS],
    useFactory: (host: TransactionHost, { hooks }: NestAuthSettings) => new HookRunner(host, hooks),
  },
  {
    provide: CreateUserOperations,
    inject: [TransactionHost, EventPublisher, Tenancy, HookRunner, SETTINGS],
    useFactory: (
      host: TransactionHost,
      events: EventPublisher,
      tenancy: Tenancy,
      hooks: HookRunner,
      { defaultRegion }: NestAuthSettings,
    ) => new CreateUserOperations(host, events, tenancy, hooks, defaultRegion),
  },
  {
    provide: UserOperations,
    inject: [EventPublisher, HookRunner, SETTINGS],
    useFactory: (events: EventPublisher, hooks: HookRunner, { defaultRegion }: NestAuthSettings) =>
      new UserOperations(events, hooks, defaultRegion),
  },
  {
    provide: IdentityOperations,
    inject: [TransactionHost, UserOperations, PasswordService, SETTINGS],
    useFactory: (
      host: TransactionHost,
      users: UserOperations,
      passwords: PasswordService,
      { defaultRegion }: NestAuthSettings,
    ) => {
      const identities = new IdentityOperations(host, users, passwords, defaultRegion);
      registerPort(host.dataSource, 'account', identities);
      return identities;
    },
  },
  {
    provide: BulkCreateOperations,
    inject: [TransactionHost, CreateUserOperations, IdentityOperations],
    useFactory: (host: TransactionHost, creations: CreateUserOperations, identities: IdentityOperations) =>
      new BulkCreateOperations(host, creations, identities),
  },
  {
    provide: UserFinder,
    inject: [Tenancy, SETTINGS],
    useFactory: (tenancy: Tenancy, { defaultRegion }: NestAuthSettings) => new UserFinder(tenancy, defaultRegion),
  },
];

function attachHost(dataSource: DataSource, settings: NestAuthSettings): TransactionHost {
  assertSchemaIsOurs(dataSource);
  const logger = new Logger('NestAuth');
  const { retries, onEscape, operationTimeoutMs, prepared } = settings;
  const report = (message: string, error: unknown): void =>
    logger.error(message, error instanceof Error ? error.stack : String(error));
  const host = TransactionHost.attach(dataSource, { retries, onEscape, operationTimeoutMs, prepared, report });
  host.addSubscriber(new EntityWriteSubscriber());
  return host;
}

/** With row-level security, the application starts only where it holds. */
async function makeTenantContext(
  host: TransactionHost,
  events: EventPublisher,
  tenancy: Tenancy,
  { rls }: NestAuthSettings,
): Promise<TenantContext> {
  if (rls === undefined) return new TenantContext(host, events, tenancy, undefined);
  const { manager } = host.dataSource;
  const tables = NestAuthEntities.map((entity) => host.dataSource.getMetadata(entity).tableName);
  const { platformRole, warnings } = await assertRowSecurity(manager, tables);
  const logger = new Logger('NestAuth');
  for (const warning of warnings) logger.warn(warning);
  return new TenantContext(host, events, tenancy, { platformRole, onBypass: rls.onBypass });
}

function asyncOptions({ useFactory, inject = [], useClass, useExisting }: NestAuthModuleAsyncOptions): Provider[] {
  const given = [useFactory, useClass, useExisting].filter((way) => way !== undefined);
  if (given.length !== 1) {
    throw new NestAuthError(
      'INVALID_OPTIONS',
      'NestAuthModule.forRootAsync needs exactly one of useFactory, useClass and useExisting',
      { details: { option: 'useFactory' } },
    );
  }
  if (useFactory !== undefined) return [{ provide: OPTIONS, inject, useFactory }];
  const factory = useClass ?? useExisting;
  const options: Provider = {
    provide: OPTIONS,
    inject: [factory as NonNullable<typeof factory>],
    useFactory: (made: NestAuthOptionsFactory) => made.createNestAuthOptions(),
  };
  return useClass === undefined ? [options] : [options, useClass];
}
