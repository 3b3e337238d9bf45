package pocketgan.effects

import android.content.Context

/** Changes with each update of the app, and with each installation of the same version that a developer makes. */
internal fun appVersion(context: Context): String {
    val info = context.packageManager.getPackageInfo(context.packageName, 0)
    @Suppress("DEPRECATION") // its successor came with Android 9; this is its lower half
    return "${info.versionCode} ${info.lastUpdateTime}"
}
