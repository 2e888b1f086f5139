"""Written by hand: the operators' roles, and a guard that keeps the audit append-only, whoever speaks to the database."""

from django.db import migrations

from ai_tasks.oversight import roles

REFUSE = {
    "postgresql": """
        CREATE FUNCTION ai_tasks_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'The audit is only added to.'; END $$;
        CREATE TRIGGER ai_tasks_audit_append_only BEFORE UPDATE OR DELETE ON ai_tasks_auditentry
        FOR EACH ROW EXECUTE FUNCTION ai_tasks_audit_refuse();
    """,
    # Not of deletes too: a flush of the database is made of them there.
    "sqlite": """
        CREATE TRIGGER ai_tasks_audit_append_only BEFORE UPDATE ON ai_tasks_auditentry
        BEGIN SELECT RAISE(ABORT, 'The audit is only added to.'); END;
    """,
}
ALLOW = {
    "postgresql": """
        DROP TRIGGER ai_tasks_audit_append_only ON ai_tasks_auditentry;
        DROP FUNCTION ai_tasks_audit_refuse();
    """,
    "sqlite": "DROP TRIGGER ai_tasks_audit_append_only;",
}


def establish_roles(apps, schema_editor):
    roles.establish(apps)


def guard_audit(apps, schema_editor):
    _run(schema_editor, REFUSE)


def unguard_audit(apps, schema_editor):
    _run(schema_editor, ALLOW)


def _run(schema_editor, statements):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(statements[schema_editor.connection.vendor])


class Migration(migrations.Migration):
    dependencies = [
        ("ai_tasks", "0001_initial"),
        ("chat", "0001_initial"),
        ("providers", "0001_initial"),
        ("queueing", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RunPython(establish_roles, migrations.RunPython.noop),
        migrations.RunPython(guard_audit, unguard_audit),
    ]
