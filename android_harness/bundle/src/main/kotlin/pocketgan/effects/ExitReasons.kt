package pocketgan.effects

import android.app.ActivityManager
import android.app.ApplicationExitInfo
import android.content.Context
import android.os.Build

/** Ends of a process that its engines have nothing to do with. */
private val INNOCENT = setOf(
    ApplicationExitInfo.REASON_USER_REQUESTED,
    ApplicationExitInfo.REASON_USER_STOPPED,
    ApplicationExitInfo.REASON_PERMISSION_CHANGE,
    ApplicationExitInfo.REASON_DEPENDENCY_DIED,
    ApplicationExitInfo.REASON_PACKAGE_STATE_CHANGE,
    ApplicationExitInfo.REASON_PACKAGE_UPDATED,
)

/** Whether a user or the system ended that process of this app; Android tells it from 11 on. */
internal fun wasEnded(context: Context, process: Int): Boolean =
    Build.VERSION.SDK_INT >= Build.VERSION_CODES.R && exitReason(context, process) in INNOCENT

@NewerThanAndroid8
private fun exitReason(context: Context, process: Int): Int? =
    context.getSystemService(ActivityManager::class.java)
        .getHistoricalProcessExitReasons(context.packageName, process, 1).firstOrNull()?.reason
