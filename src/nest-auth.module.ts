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
import { EntityWriteSubscriber } from './account/entity-write.subscriber.js';
import { IdentityOperations } from './account/identity.operations.js';
import { PasswordService } from './account/password.service.js';
import { UserFinder } from './account/user-finder.js';
import { UserOperations } from './account/user.operations.js';
import { NestAuthError } from './errors/nest-auth.error.js';
import { EventPublisher } from './events/event-publisher.js';
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

const PUBLIC_SERVICES = [UserService, TenantService, RoleService, PermissionService, AccessService, PasswordService];

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
        useFactory: (host: TransactionHost, events: EventPublisher, tenancy: Tenancy) =>
          bound(host, 'access', new AccessOperations(host, events, tenancy)),
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
    provide: UserOperations,
    inject: [TransactionHost, EventPublisher, Tenancy, SETTINGS],
    useFactory: (host: TransactionHost, events: EventPublisher, tenancy: Tenancy, settings: NestAuthSettings) =>
      new UserOperations(host, events, tenancy, settings.hooks, settings.defaultRegion),
  },
  {
    provide: IdentityOperations,
    inject: [TransactionHost, UserOperations, EventPublisher, PasswordService, SETTINGS],
    useFactory: (
      host: TransactionHost,
      users: UserOperations,
      events: EventPublisher,
      passwords: PasswordService,
      { defaultRegion }: NestAuthSettings,
    ) => bound(host, 'account', new IdentityOperations(host, users, events, passwords, defaultRegion)),
  },
  {
    provide: BulkCreateOperations,
    inject: [TransactionHost, UserOperations, IdentityOperations],
    useFactory: (host: TransactionHost, users: UserOperations, identities: IdentityOperations) =>
      new BulkCreateOperations(host, users, identities),
  },
  {
    provide: UserFinder,
    inject: [Tenancy, SETTINGS],
    useFactory: (tenancy: Tenancy, { defaultRegion }: NestAuthSettings) => new UserFinder(tenancy, defaultRegion),
  },
];

/** Makes the operations those that this DataSource's entities delegate to. */
function bound<T>(host: TransactionHost, port: string, operations: T): T {
  registerPort(host.dataSource, port, operations);
  return operations;
}

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
